/* The passes over the elements of one piece, compiled once for each instruction set: reduce, the
   square of a combination, update. */

#include "step.h"

#include "noise.h"
#include "moments.h"

#define DOUBLES (WIDTH / 8)
#define PARTS (8 / DOUBLES) /* eight lanes of each sum, whatever the registers are */

typedef double Doubles __attribute__((vector_size(WIDTH)));
typedef Doubles Sums[SUMS][PARTS];

typedef struct { float w, keep, push, toss, drift, shrink, turn, taken, forgetting; } F32Factors;
typedef struct { double w, keep, push, toss, drift, shrink, turn, taken, forgetting; } F64Factors;

#define REAL float
#define BITS int32_t
#define NAME(x) F32##x
#include "segment.h"
#undef REAL
#undef BITS
#undef NAME
#undef WIDE
#define REAL double
#define BITS int64_t
#define NAME(x) F64##x
#include "segment.h"
#undef REAL
#undef BITS
#undef NAME
#undef WIDE

/* --------------------------------------------------------------- 16 bits */

INLINE float from_bits(uint32_t bits) { float x; memcpy(&x, &bits, sizeof x); return x; }
INLINE uint32_t to_bits(float x) { uint32_t bits; memcpy(&bits, &x, sizeof bits); return bits; }

INLINE float from_half(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16, rest = half & 0x7fffu;
    /* A multiplication moves the exponent, of subnormal numbers too. */
    float size = from_bits(rest << 13) * 0x1p112f;
    uint32_t bits = rest >= 0x7c00u ? 0x7f800000u | (rest & 0x3ffu) << 13 : to_bits(size);
    return from_bits(bits | sign);
}

INLINE uint16_t to_half(float x) {
    uint32_t bits = to_bits(x), sign = bits >> 16 & 0x8000u, size = bits & 0x7fffffffu;
    uint32_t normal = (size + 0xfffu + (size >> 13 & 1u) - 0x38000000u) >> 13;
    /* Added to ½, a number that is subnormal as a half is rounded to its last place. */
    uint32_t small = to_bits(from_bits(size) + 0.5f) - 0x3f000000u;
    uint32_t half = size < 0x38800000u ? small : normal;
    if (size >= 0x477ff000u) half = 0x7c00u;
    if (size > 0x7f800000u) half = 0x7e00u;
    return (uint16_t)(half | sign);
}

INLINE float from_brain(uint16_t brain) { return from_bits((uint32_t)brain << 16); }

INLINE uint16_t to_brain(float x) {
    uint32_t bits = to_bits(x);
    uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
    return (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? 0x7fc0u : rounded);
}

INLINE void widen(float *to, const uint16_t *from, int64_t type, int count) {
    if (type == FLOAT16) for (int i = 0; i < count; i++) to[i] = from_half(from[i]);
    else for (int i = 0; i < count; i++) to[i] = from_brain(from[i]);
}

INLINE void narrow(uint16_t *to, const float *from, int64_t type, int count) {
    if (type == FLOAT16) for (int i = 0; i < count; i++) to[i] = to_half(from[i]);
    else for (int i = 0; i < count; i++) to[i] = to_brain(from[i]);
}

/* ------------------------------------------------------------ one segment */

/* At most 64 elements of a block: where they lie, or copies of them filled up with zeros. */
typedef struct {
    int count;
    int padded; /* the copies are used */
    int64_t at; /* first element */
    void *m, *theta, *v;
    const void *g, *z, *u;
    double buffers[6][NUMBERS];
} Segment;

INLINE int64_t item_size(int64_t type) {
    return type == FLOAT64 ? 8 : type == FLOAT32 ? 4 : 2;
}

INLINE void *place(const void *begin, int64_t index, int64_t size) {
    return (char *)begin + index * size;
}

/* Make the numbers of a segment; the rest of z is zero. */
INLINE void draw(const Piece *piece, Segment *s) {
    uint64_t first = piece->first + (uint64_t)s->at;
    int skip = (int)(first % NUMBERS), double_block = piece->block->type == FLOAT64;
    s->z = s->buffers[3];
    if (double_block && piece->double_noise) {
        double z[NUMBERS];
        normals64(piece->seed, first / NUMBERS, z);
        memset(s->buffers[3], 0, sizeof z);
        memcpy(s->buffers[3], z + skip, s->count * sizeof *z);
        return;
    }
    if (s->count == NUMBERS && !double_block) {
        normals32(piece->seed, first / NUMBERS, (float *)s->buffers[3]);
        return;
    }
    float z[NUMBERS];
    normals32(piece->seed, first / NUMBERS, z);
    memset(s->buffers[3], 0, sizeof s->buffers[3]);
    if (double_block) for (int i = 0; i < s->count; i++) s->buffers[3][i] = z[skip + i];
    else memcpy(s->buffers[3], z + skip, s->count * sizeof *z);
}

/* Say where the elements from `at` on are; a segment ends where a block of noise does. */
INLINE void take(const Piece *piece, int64_t at, int noise, int refined, Segment *s) {
    const Block *b = piece->block;
    int64_t left = piece->to - at, item = item_size(b->type), wide = b->type == FLOAT64 ? 8 : 4;
    int64_t most = noise ? NUMBERS - (int64_t)((piece->first + (uint64_t)at) % NUMBERS) : NUMBERS;
    s->at = at;
    s->count = (int)(left < most ? left : most);
    s->padded = s->count < NUMBERS || item == 2;
    s->theta = place(b->theta, at, item);
    s->g = place(b->grad, at, item);
    s->m = place(b->momentum, at, wide);
    if (s->padded) {
        const void *theta = s->theta, *g = s->g, *m = s->m;
        if (s->count < NUMBERS) memset(s->buffers, 0, 3 * sizeof s->buffers[0]);
        s->theta = s->buffers[0];
        s->g = s->buffers[1];
        s->m = s->buffers[2];
        if (item == 2) {
            widen(s->theta, theta, b->type, s->count);
            widen((float *)s->buffers[1], g, b->type, s->count);
        } else {
            memcpy(s->theta, theta, s->count * item);
            memcpy(s->buffers[1], g, s->count * item);
        }
        memcpy(s->m, m, s->count * wide);
    }
    if (noise) draw(piece, s);
    s->v = NULL;
    s->u = NULL;
    if (refined) {
        s->v = place(b->moment, at, wide);
        if (s->count < NUMBERS) {
            memset(s->buffers[4], 0, sizeof s->buffers[4]);
            s->v = memcpy(s->buffers[4], s->v, s->count * wide);
        }
        s->u = s->buffers[5];
        if (wide == 8) factors64(s->v, s->buffers[5], piece);
        else factors32(s->v, (float *)s->buffers[5], piece);
    }
}

/* Put copies back. */
INLINE void give(const Piece *piece, const Segment *s) {
    const Block *b = piece->block;
    int64_t item = item_size(b->type), wide = b->type == FLOAT64 ? 8 : 4;
    if (!s->padded) return;
    if (s->v == s->buffers[4]) memcpy(place(b->moment, s->at, wide), s->v, s->count * wide);
    memcpy(place(b->momentum, s->at, wide), s->m, s->count * wide);
    if (item == 2) narrow(place(b->theta, s->at, item), s->theta, b->type, s->count);
    else memcpy(place(b->theta, s->at, item), s->theta, s->count * item);
}

/* --------------------------------------------------------------- a piece */

INLINE double total(const Doubles parts[PARTS]) {
    double x[8];
    memcpy(x, parts, sizeof x);
    return ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7]));
}

#define FACTORS(kind) (kind){piece->weight_decay, piece->keep, piece->push, piece->toss, \
                             piece->drift, piece->shrink, piece->turn, piece->taken, \
                             piece->forgetting}

/* Whether there is noise, whether the block is of float64 and whether it has second moments is
   known when this is compiled. */
#define EACH_KIND(call, piece, ...) do { \
        int real = 2 * ((piece)->block->type == FLOAT64) + ((piece)->block->moment != NULL); \
        if ((piece)->noise) switch (real) { \
            case 0: call(piece, __VA_ARGS__ 1, 0, 0); break; \
            case 1: call(piece, __VA_ARGS__ 1, 0, 1); break; \
            case 2: call(piece, __VA_ARGS__ 1, 1, 0); break; \
            default: call(piece, __VA_ARGS__ 1, 1, 1); \
        } else switch (real) { \
            case 0: call(piece, __VA_ARGS__ 0, 0, 0); break; \
            case 1: call(piece, __VA_ARGS__ 0, 0, 1); break; \
            case 2: call(piece, __VA_ARGS__ 0, 1, 0); break; \
            default: call(piece, __VA_ARGS__ 0, 1, 1); \
        } \
    } while (0)

INLINE void reduce_as(const Piece *piece, double *sums, int noise, int is_double, int refined) {
    Sums parts = {{{0}}};
    Segment s;
    for (int64_t at = piece->from; at < piece->to; at += s.count) {
        take(piece, at, noise, refined, &s);
        const void *u = refined ? s.u : NULL, *v = refined ? s.v : NULL;
        if (is_double)
            F64sum(s.m, s.g, s.theta, s.z, u, v, piece->weight_decay, noise, parts);
        else
            F32sum(s.m, s.g, s.theta, s.z, u, v, (float)piece->weight_decay, noise, parts);
    }
    for (int i = 0; i < SUMS; i++) sums[i] = total(parts[i]);
}

static void reduce(const Piece *piece, double *sums) { EACH_KIND(reduce_as, piece, sums,); }

static double square(const Piece *piece) {
    const F32Factors f32 = FACTORS(F32Factors);
    const F64Factors f64 = FACTORS(F64Factors);
    double sum = 0;
    Segment s;
    for (int64_t at = piece->from; at < piece->to; at += s.count) {
        take(piece, at, (int)piece->noise, piece->block->moment != NULL, &s);
        if (piece->block->type == FLOAT64) sum += F64squares(s.m, s.g, s.theta, s.z, s.u, &f64);
        else sum += F32squares(s.m, s.g, s.theta, s.z, s.u, &f32);
    }
    return sum;
}

INLINE void update_as(const Piece *piece, int noise, int is_double, int refined) {
    const F32Factors f32 = FACTORS(F32Factors);
    const F64Factors f64 = FACTORS(F64Factors);
    Segment s;
    for (int64_t at = piece->from; at < piece->to; at += s.count) {
        take(piece, at, noise, refined, &s);
        const void *u = refined ? s.u : NULL;
        void *v = refined ? s.v : NULL;
        if (is_double) F64move(s.m, s.g, s.theta, s.z, u, v, &f64);
        else F32move(s.m, s.g, s.theta, s.z, u, v, &f32);
        give(piece, &s);
    }
}

static void update(const Piece *piece) { EACH_KIND(update_as, piece,); }

static void normals(uint64_t seed, uint64_t first, int64_t count, float *z, double *exact) {
    for (int64_t i = 0; i < count; i += NUMBERS) {
        if (exact) normals64(seed, (first + i) / NUMBERS, exact + i);
        else normals32(seed, (first + i) / NUMBERS, z + i);
    }
}

#define JOIN(a, b) a##b
#define LEVEL_NAME(level) JOIN(passes_, level)
#define TEXT(x) #x
#define LEVEL_TEXT(level) TEXT(level)
#ifndef LEVEL
#define LEVEL base
#endif
const Passes LEVEL_NAME(LEVEL) = {LEVEL_TEXT(LEVEL), reduce, square, update, normals};
