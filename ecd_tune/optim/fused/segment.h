/* The three passes over at most 64 elements, for one dtype of the momentum. Included by passes.c
   with REAL and NAME defined; x, y, ... need no alignment. */

#define WIDE ((int)(WIDTH / sizeof(REAL)))
typedef REAL NAME(Vec) __attribute__((vector_size(WIDTH), aligned(4), may_alias));
typedef REAL NAME(Few) __attribute__((vector_size(DOUBLES * sizeof(REAL)), aligned(4), may_alias));

/* Not memcpy, which some compilers make in halves that the next load must wait for. */
INLINE NAME(Vec) NAME(load)(const REAL *x) { return *(const NAME(Vec) *)x; }
INLINE NAME(Few) NAME(few)(const REAL *x) { return *(const NAME(Few) *)x; }
INLINE Doubles NAME(exact)(NAME(Few) x) { return __builtin_convertvector(x, Doubles); }

/* Add to the sums over m, h = g + w θ and z. */
INLINE void NAME(sum)(const REAL *m, const REAL *g, const REAL *theta, const REAL *z, REAL w,
                      int noise, Sums sums) {
    for (int i = 0; i < NUMBERS; i += DOUBLES) {
        const int part = i / DOUBLES % PARTS;
        NAME(Few) h = NAME(few)(g + i);
        if (w != 0) {
            NAME(Few) t = NAME(few)(theta + i);
            h += w * t;
            Doubles dt = NAME(exact)(t);
            sums[TT][part] += dt * dt;
        }
        Doubles dm = NAME(exact)(NAME(few)(m + i)), dh = NAME(exact)(h);
        sums[MM][part] += dm * dm;
        sums[MH][part] += dm * dh;
        sums[HH][part] += dh * dh;
        if (noise) {
            Doubles dz = NAME(exact)(NAME(few)(z + i));
            sums[MZ][part] += dm * dz;
            sums[HZ][part] += dh * dz;
            sums[ZZ][part] += dz * dz;
        }
    }
}

/* q = keep m + push h + toss z, as it is rounded. */
INLINE NAME(Vec) NAME(kicked)(const REAL *m, const REAL *g, const REAL *theta, const REAL *z,
                              const NAME(Factors) *by, int i) {
    NAME(Vec) h = NAME(load)(g + i);
    if (by->w != 0) h += by->w * NAME(load)(theta + i);
    NAME(Vec) q = by->keep * NAME(load)(m + i) + by->push * h;
    if (by->toss != 0) q += by->toss * NAME(load)(z + i);
    return q;
}

INLINE double NAME(squares)(const REAL *m, const REAL *g, const REAL *theta, const REAL *z,
                            const NAME(Factors) *by) {
    double sum = 0;
    for (int i = 0; i < NUMBERS; i += WIDE) {
        NAME(Vec) q = NAME(kicked)(m, g, theta, z, by, i);
        for (int l = 0; l < WIDE; l++) sum += (double)q[l] * q[l];
    }
    return sum;
}

/* θ += drift q + shrink θ and m = q + turn z. */
INLINE void NAME(move)(REAL *m, const REAL *g, REAL *theta, const REAL *z,
                       const NAME(Factors) *by) {
    for (int i = 0; i < NUMBERS; i += WIDE) {
        NAME(Vec) q = NAME(kicked)(m, g, theta, z, by, i);
        NAME(Vec) t = NAME(load)(theta + i), moved = by->drift * q;
        if (by->shrink != 0) moved += by->shrink * t;
        t += moved;
        *(NAME(Vec) *)(theta + i) = t;
        if (by->turn != 0) q += by->turn * NAME(load)(z + i);
        *(NAME(Vec) *)(m + i) = q;
    }
}
