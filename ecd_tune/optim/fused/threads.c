/* Work shared out to a few threads that wait for it. Which thread does what changes no number:
   each item writes to a place of its own. A process that was forked starts threads of its own. */

#include "step.h"

#include <pthread.h>
#include <stdatomic.h>

#define MOST_THREADS 64
/* Looks before a thread goes to sleep: the second pass of a step follows the first at once. */
#define LOOKS 4000

static struct {
    pthread_mutex_t busy; /* one caller at a time */
    pthread_mutex_t mutex;
    pthread_cond_t work, done;
    int64_t started;
    void (*call)(void *, int64_t);
    void *context;
    int64_t count, wanted;
    int open;                 /* a thread that comes now may still help */
    atomic_llong next, turn;  /* next item; number of the call */
    atomic_llong inside;      /* threads at work beside the caller */
} pool = {.busy = PTHREAD_MUTEX_INITIALIZER, .mutex = PTHREAD_MUTEX_INITIALIZER,
          .work = PTHREAD_COND_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};

static void begin_anew(void) { /* in a forked process, which has none of the threads */
    pthread_mutex_init(&pool.busy, 0);
    pthread_mutex_init(&pool.mutex, 0);
    pthread_cond_init(&pool.work, 0);
    pthread_cond_init(&pool.done, 0);
    pool.started = 0;
    pool.open = 0;
    atomic_store(&pool.inside, 0);
}

static void pause_shortly(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void do_items(void) {
    for (;;) {
        int64_t index = atomic_fetch_add(&pool.next, 1);
        if (index >= pool.count) return;
        pool.call(pool.context, index);
    }
}

static void *serve(void *argument) {
    int64_t number = (int64_t)(intptr_t)argument, seen = 0;
    for (;;) {
        for (int i = 0; i < LOOKS && atomic_load(&pool.turn) == seen; i++) pause_shortly();
        pthread_mutex_lock(&pool.mutex);
        while (atomic_load(&pool.turn) == seen) pthread_cond_wait(&pool.work, &pool.mutex);
        seen = atomic_load(&pool.turn);
        int helps = pool.open && number < pool.wanted;
        if (helps) atomic_fetch_add(&pool.inside, 1);
        pthread_mutex_unlock(&pool.mutex);
        if (!helps) continue;
        do_items();
        pthread_mutex_lock(&pool.mutex);
        if (atomic_fetch_sub(&pool.inside, 1) == 1) pthread_cond_signal(&pool.done);
        pthread_mutex_unlock(&pool.mutex);
    }
    return 0;
}

/* Return how many threads there are beside the caller's. */
static int64_t start_threads(int64_t wanted) {
    static int registered;
    if (!registered) registered = pthread_atfork(0, 0, begin_anew) == 0;
    while (registered && pool.started < wanted) {
        pthread_t thread;
        pthread_attr_t detached;
        pthread_attr_init(&detached);
        pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
        int failed = pthread_create(&thread, &detached, serve, (void *)(intptr_t)pool.started);
        pthread_attr_destroy(&detached);
        if (failed) break;
        pool.started++;
    }
    return pool.started < wanted ? pool.started : wanted;
}

void share_out(void (*call)(void *, int64_t), void *context, int64_t count, int64_t threads) {
    if (threads > count) threads = count;
    if (threads > MOST_THREADS) threads = MOST_THREADS;
    if (threads <= 1 || pthread_mutex_trylock(&pool.busy) != 0) {
        for (int64_t i = 0; i < count; i++) call(context, i);
        return;
    }
    int64_t others = start_threads(threads - 1);
    pthread_mutex_lock(&pool.mutex);
    pool.call = call;
    pool.context = context;
    pool.count = count;
    pool.wanted = others;
    pool.open = 1;
    atomic_store(&pool.next, 0);
    atomic_fetch_add(&pool.turn, 1);
    pthread_cond_broadcast(&pool.work);
    pthread_mutex_unlock(&pool.mutex);
    do_items();
    pthread_mutex_lock(&pool.mutex);
    pool.open = 0;
    pthread_mutex_unlock(&pool.mutex);
    for (int i = 0; i < LOOKS && atomic_load(&pool.inside) > 0; i++) pause_shortly();
    pthread_mutex_lock(&pool.mutex);
    while (atomic_load(&pool.inside) > 0) pthread_cond_wait(&pool.done, &pool.mutex);
    pthread_mutex_unlock(&pool.mutex);
    pthread_mutex_unlock(&pool.busy);
}
