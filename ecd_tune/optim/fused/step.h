/* What the parts of the compiled step share. ctypes mirrors Block and Run in cpu.py: all fields
   have eight bytes, so that every compiler lays them out alike. */

#ifndef ECD_STEP_H
#define ECD_STEP_H

#include <stdint.h>

enum { FLOAT32, FLOAT64, BFLOAT16, FLOAT16 };
enum { HOLD, STOP, SHIFT };

/* Elements that one thread works on at a time; sums are added in this order whoever makes them. */
#define PIECE 16384
/* Numbers of one block of the noise. */
#define NUMBERS 64
/* Columns of Diagnostics, and rows until they are handed on. */
#define COLUMNS 17
#define ROWS 256

typedef struct {
    void *theta;
    const void *grad;
    void *momentum; /* float64 for FLOAT64, else float32 */
    void *moment;   /* second moments, alike; NULL where the scale is not "moments" */
    int64_t size;
    int64_t begin; /* number of its first element in the vector of all parameters */
    int64_t type;
    double lr;           /* Δt of the block, its scale included, but not that of each number */
    double share;        /* factor by the share rule */
    double weight_decay; /* wd in the loss */
    double rate;         /* Δt wd where it is decoupled */
} Block;

/* One trajectory. */
typedef struct {
    Block *blocks;
    int64_t count;
    int64_t *pieces; /* block and first element of each */
    int64_t n_pieces;
    double *partial; /* SUMS numbers a piece */
    double *floats;  /* log|Π|, log 𝓔, shift; of ECDq1 the first */
    int64_t *ints;   /* updates, first_bad, then the counters */
    uint8_t *flags;  /* started, (stopped,) converged */
    double *scaling; /* log k and ⟨v⟩ of moments.py */
    int64_t *steps;
    double *rows; /* [ROWS, COLUMNS] */
    int64_t *filled;
    int64_t unit_speed, sync, chaotic, conserve, bounded, on_gap, exact;
    int64_t shifts_early, resets_energy;
    int64_t double_noise;
    int64_t size; /* numbers that move */
    int64_t seed, stride;
    double eta, nu, s, F0, log_eps1, log_eps2, eps2, shift_factor, rounding, tiny;
    double sign; /* -1 to maximize */
    double forgetting, damping, full_power, warm_up, memory; /* constants of moments.py */
} Run;

/* Sums over elements: with h = u (g + wd θ), where u is 1 but for blocks with second moments v,
   which have those of g, g u and v too, and the number of v that are not 0. */
enum { MM, MH, HH, TT, MZ, HZ, ZZ, GG, UU, VV, SEEN, SUMS };

/* What a pass over one piece of one block needs. */
typedef struct {
    const Block *block;
    int64_t from, to;
    double weight_decay;     /* of h, with the sign of maximizing */
    double keep, push, toss; /* q = keep m + push h + toss z */
    double drift, shrink, turn; /* θ += drift q + shrink θ; m = q + turn z */
    double floor, mean, power; /* u = (v + floor)^power, where ⟨v⟩ stands for a v that is 0 */
    double taken, forgetting;  /* ĝ = taken g; v += forgetting (ĝ² - v) */
    int64_t noise, double_noise;
    uint64_t first; /* number of the block's first element in the stream of noise */
    uint64_t seed;
} Piece;

typedef struct {
    const char *name;
    void (*reduce)(const Piece *, double *sums);
    double (*square)(const Piece *); /* |q|² */
    void (*update)(const Piece *);
    void (*normals)(uint64_t seed, uint64_t first, int64_t count, float *z, double *exact);
} Passes;

extern const Passes passes_base;
#ifdef LEVELS
extern const Passes passes_v3, passes_v4;
#endif

/* threads.c: work(context, i) for all i < count, by as many threads as are free. */
void share_out(void (*work)(void *, int64_t), void *context, int64_t count, int64_t threads);

/* scalars.c: one step of one trajectory. */
void make_step(const Passes *, Run *, double loss, int64_t threads);
/* Complete the last row of Diagnostics, whose turn the next step would measure. */
void settle_row(const Passes *, Run *, int64_t threads);

#endif
