/* The normal numbers of noise.py: Threefry-4x32 with 13 rounds, then Box-Muller. Included by
   passes.c, which is compiled once for each instruction set. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
/* Bytes of a register: wider vectors would go through memory. */
#if defined(__AVX512F__)
#define WIDTH 64
#elif defined(__AVX__)
#define WIDTH 32
#else
#define WIDTH 16
#endif
#define LANES 16
#define AT_ONCE (WIDTH / 4) /* lanes that are made at once */

typedef uint32_t Words __attribute__((vector_size(WIDTH)));
typedef int32_t Whole __attribute__((vector_size(WIDTH)));
typedef float Floats __attribute__((vector_size(WIDTH)));
typedef float Stored __attribute__((vector_size(WIDTH), aligned(4), may_alias));

#define MIX(to, other, bits) \
    do { \
        to += other; \
        other = ((other << (bits)) | (other >> (32 - (bits)))) ^ to; \
    } while (0)
#define EVEN(a, b) do { MIX(x0, x1, a); MIX(x2, x3, b); } while (0)
#define ODD(a, b) do { MIX(x0, x3, a); MIX(x2, x1, b); } while (0)

/* The four words of some of the 16 counters of one block of 64 numbers, from lane `lane` on. */
INLINE void threefry(uint64_t seed, uint64_t block, uint32_t lane, Words out[4]) {
    const uint32_t low = (uint32_t)seed, high = (uint32_t)(seed >> 32);
    const uint32_t parity = low ^ high ^ 0x1BD11BDAu;
    const uint64_t counter = block * LANES; /* a multiple of 16: no lane carries */
    const Words zero = {0};
    Words x0;
    for (uint32_t l = 0; l < AT_ONCE; l++) x0[l] = lane + l;
    Words x1 = zero + ((uint32_t)(counter >> 32) + high), x2 = zero, x3 = zero;
    x0 += (uint32_t)counter + low;
    EVEN(10, 26); ODD(11, 21); EVEN(13, 27); ODD(23, 5);
    x0 += high; x3 += parity + 1;
    EVEN(6, 20); ODD(17, 11); EVEN(25, 10); ODD(18, 20);
    x2 += parity; x3 += low + 2;
    EVEN(10, 26); ODD(11, 21); EVEN(13, 27); ODD(23, 5);
    x1 += parity; x2 += low; x3 += high + 3;
    EVEN(6, 20);
    out[0] = x0; out[1] = x1; out[2] = x2; out[3] = x3;
}

/* A cast between vectors keeps the bits. */
INLINE Whole bits_of(Floats x) { return (Whole)x; }
INLINE Floats floats_of(Whole i) { return (Floats)i; }

/* (log(1 + f) − f + ½f²)/f³ (the polynomial of Cephes). */
INLINE Floats log_series(Floats f) {
    Floats p = 7.0376836292e-2f * f - 1.1514610310e-1f;
    p = p * f + 1.1676998740e-1f;
    p = p * f - 1.2420140846e-1f;
    p = p * f + 1.4249322787e-1f;
    p = p * f - 1.6668057665e-1f;
    p = p * f + 2.0000714765e-1f;
    p = p * f - 2.4999993993e-1f;
    return p * f + 3.3333331174e-1f;
}

/* log x, 0 < x <= 1, to an ulp. */
INLINE Floats log_of(Floats x) {
    const Whole half_root = (Whole){0} + 0x3f3504f3; /* √½ */
    Whole i = bits_of(x) - half_root;
    Floats e = __builtin_convertvector(i >> 23, Floats);
    Floats f = floats_of((i & 0x007fffff) + half_root) - 1.0f, f2 = f * f;
    Floats p = log_series(f) * f * f2 - 2.12194440e-4f * e - 0.5f * f2;
    return (p + f) + 0.693359375f * e;
}

/* Two normal numbers from two words: 31 bits for the radius, so that small ones, which make the
   tails, are exact; the angle is reduced to ±π/4. */
INLINE void box_muller(Words radius, Words angle, float *cosines, float *sines) {
    Whole size = (Whole)radius;
    size ^= size >> 31;
    Floats u = (__builtin_convertvector(size, Floats) + 0.5f) * 0x1p-31f;
    Floats square = log_of(u) * -2.0f, r;
    square = floats_of(bits_of(square) & 0x7fffffff);
    for (int l = 0; l < AT_ONCE; l++) r[l] = __builtin_sqrtf(square[l]);
    Floats x = __builtin_convertvector((Whole)angle, Floats) * (float)(M_PI * 0x1p-31);
    const float round = 0x1.8p23f;
    Floats turns = x * (float)M_2_PI + round;
    Whole quarter = bits_of(turns);
    Floats whole = turns - round;
    Floats y = x - whole * 1.5703125f;
    y = y - whole * 4.837512969970703125e-4f;
    y = y - whole * 7.54978995489188e-8f;
    Floats y2 = y * y;
    Floats s = ((-1.9515295891e-4f * y2 + 8.3321608736e-3f) * y2 - 1.6666654611e-1f) * y2 * y + y;
    Floats c = ((2.443315711809948e-5f * y2 - 1.388731625493765e-3f) * y2
                + 4.166664568298827e-2f) * y2 * y2 - 0.5f * y2 + 1.0f;
    Whole swap = -(quarter & 1), cb = bits_of(c), sb = bits_of(s);
    Whole cosine = ((sb & swap) | (cb & ~swap)) ^ (((quarter + 1) & 2) << 30);
    Whole sine = ((cb & swap) | (sb & ~swap)) ^ ((quarter & 2) << 30);
    Floats a = floats_of(cosine) * r, b = floats_of(sine) * r;
    *(Stored *)cosines = a;
    *(Stored *)sines = b;
}

/* The 64 numbers of one block. */
INLINE void normals32(uint64_t seed, uint64_t block, float z[NUMBERS]) {
    for (int lane = 0; lane < LANES; lane += AT_ONCE) {
        Words words[4];
        threefry(seed, block, (uint32_t)lane, words);
        box_muller(words[0], words[1], z + lane, z + LANES + lane);
        box_muller(words[2], words[3], z + 2 * LANES + lane, z + 3 * LANES + lane);
    }
}

/* The same from the same words to the precision of float64. */
static void normals64(uint64_t seed, uint64_t block, double z[NUMBERS]) {
    for (int lane = 0; lane < LANES; lane += AT_ONCE) {
        Words words[4];
        threefry(seed, block, (uint32_t)lane, words);
        for (int pair = 0; pair < 2; pair++)
            for (int l = 0; l < AT_ONCE; l++) {
                int32_t size = (int32_t)words[2 * pair][l];
                int32_t angle = (int32_t)words[2 * pair + 1][l];
                size ^= size >> 31;
                double r = sqrt(fabs(-2.0 * log((size + 0.5) * 0x1p-31)));
                double x = angle * (M_PI * 0x1p-31);
                z[2 * LANES * pair + lane + l] = r * cos(x);
                z[2 * LANES * pair + LANES + lane + l] = r * sin(x);
            }
    }
}
