/* The three passes over at most 64 elements, for one dtype of the momentum. Included by passes.c
   with REAL and NAME defined; x, y, ... need no alignment. */

#define WIDE ((int)(64 / sizeof(REAL)))
typedef REAL NAME(Vec) __attribute__((vector_size(64), aligned(8), may_alias));
typedef REAL NAME(Eight) __attribute__((vector_size(8 * sizeof(REAL)), aligned(4), may_alias));

INLINE NAME(Vec) NAME(load)(const REAL *x) { NAME(Vec) v; memcpy(&v, x, sizeof v); return v; }
INLINE Doubles NAME(exact)(NAME(Eight) x) { return __builtin_convertvector(x, Doubles); }

/* Add to the sums over m, h = g + w θ and z. */
INLINE void NAME(sum)(const REAL *m, const REAL *g, const REAL *theta, const REAL *z, REAL w,
                      int noise, Doubles sums[SUMS]) {
    for (int i = 0; i < NUMBERS; i += 8) {
        NAME(Eight) h, mv, zv;
        memcpy(&h, g + i, sizeof h);
        memcpy(&mv, m + i, sizeof mv);
        if (w != 0) {
            NAME(Eight) t;
            memcpy(&t, theta + i, sizeof t);
            h += w * t;
            Doubles square = NAME(exact)(t);
            sums[TT] += square * square;
        }
        Doubles dm = NAME(exact)(mv), dh = NAME(exact)(h);
        sums[MM] += dm * dm;
        sums[MH] += dm * dh;
        sums[HH] += dh * dh;
        if (noise) {
            memcpy(&zv, z + i, sizeof zv);
            Doubles dz = NAME(exact)(zv);
            sums[MZ] += dm * dz;
            sums[HZ] += dh * dz;
            sums[ZZ] += dz * dz;
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

INLINE Doubles NAME(squares)(const REAL *m, const REAL *g, const REAL *theta, const REAL *z,
                             const NAME(Factors) *by) {
    Doubles sum = {0};
    REAL q[NUMBERS];
    for (int i = 0; i < NUMBERS; i += WIDE) {
        NAME(Vec) v = NAME(kicked)(m, g, theta, z, by, i);
        memcpy(q + i, &v, sizeof v);
    }
    for (int i = 0; i < NUMBERS; i += 8) {
        NAME(Eight) v;
        memcpy(&v, q + i, sizeof v);
        Doubles d = NAME(exact)(v);
        sum += d * d;
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
        memcpy(theta + i, &t, sizeof t);
        if (by->turn != 0) q += by->turn * NAME(load)(z + i);
        memcpy(m + i, &q, sizeof q);
    }
}
