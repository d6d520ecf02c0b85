/* The three passes over at most 64 elements, for one dtype of the momentum. Included by passes.c
   with REAL and NAME defined; x, y, ... need no alignment. */

#define WIDE ((int)(WIDTH / sizeof(REAL)))
typedef REAL NAME(Vec) __attribute__((vector_size(WIDTH), aligned(4), may_alias));
typedef BITS NAME(Mask) __attribute__((vector_size(WIDTH)));
typedef REAL NAME(Few) __attribute__((vector_size(DOUBLES * sizeof(REAL)), aligned(4), may_alias));

/* Not memcpy, which some compilers make in halves that the next load must wait for. */
INLINE NAME(Vec) NAME(load)(const REAL *x) { return *(const NAME(Vec) *)x; }
INLINE NAME(Few) NAME(few)(const REAL *x) { return *(const NAME(Few) *)x; }
INLINE Doubles NAME(exact)(NAME(Few) x) { return __builtin_convertvector(x, Doubles); }

/* Add to the sums over m, h = u (g + w θ) and z; u and v are NULL where there are none. */
INLINE void NAME(sum)(const REAL *m, const REAL *g, const REAL *theta, const REAL *z,
                      const REAL *u, const REAL *v, REAL w, int noise, Sums sums) {
    for (int i = 0; i < NUMBERS; i += DOUBLES) {
        const int part = i / DOUBLES % PARTS;
        NAME(Few) h = NAME(few)(g + i);
        if (w != 0) {
            NAME(Few) t = NAME(few)(theta + i);
            h += w * t;
            Doubles dt = NAME(exact)(t);
            sums[TT][part] += dt * dt;
        }
        if (u) {
            h *= NAME(few)(u + i);
            Doubles dg = NAME(exact)(NAME(few)(g + i)), dv = NAME(exact)(NAME(few)(v + i));
            Doubles du = dg * NAME(exact)(NAME(few)(u + i));
            sums[GG][part] += dg * dg;
            sums[UU][part] += du * du;
            sums[VV][part] += dv;
            sums[SEEN][part] -= __builtin_convertvector(dv > 0, Doubles);
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
                              const REAL *u, const NAME(Factors) *by, int i) {
    NAME(Vec) h = NAME(load)(g + i);
    if (by->w != 0) h += by->w * NAME(load)(theta + i);
    if (u) h *= NAME(load)(u + i);
    NAME(Vec) q = by->keep * NAME(load)(m + i) + by->push * h;
    if (by->toss != 0) q += by->toss * NAME(load)(z + i);
    return q;
}

INLINE double NAME(squares)(const REAL *m, const REAL *g, const REAL *theta, const REAL *z,
                            const REAL *u, const NAME(Factors) *by) {
    double sum = 0;
    for (int i = 0; i < NUMBERS; i += WIDE) {
        NAME(Vec) q = NAME(kicked)(m, g, theta, z, u, by, i);
        for (int l = 0; l < WIDE; l++) sum += (double)q[l] * q[l];
    }
    return sum;
}

/* v += forgetting (ĝ² - v) where ĝ² is not 0; the first one is v itself. */
INLINE void NAME(learn)(REAL *v, const REAL *g, const NAME(Factors) *by, int i) {
    NAME(Vec) old = NAME(load)(v + i), square = by->taken * NAME(load)(g + i);
    square *= square;
    NAME(Vec) mean = old + by->forgetting * (square - old);
    NAME(Mask) seen = (NAME(Mask))(old > 0), counts = (NAME(Mask))(square > 0);
    NAME(Mask) bits = ((NAME(Mask))mean & seen) | ((NAME(Mask))square & ~seen);
    *(NAME(Vec) *)(v + i) = (NAME(Vec))((bits & counts) | ((NAME(Mask))old & ~counts));
}

/* θ += u drift q + shrink θ and m = q + turn z. */
INLINE void NAME(move)(REAL *m, const REAL *g, REAL *theta, const REAL *z, const REAL *u, REAL *v,
                       const NAME(Factors) *by) {
    for (int i = 0; i < NUMBERS; i += WIDE) {
        NAME(Vec) q = NAME(kicked)(m, g, theta, z, u, by, i);
        NAME(Vec) t = NAME(load)(theta + i), moved = by->drift * q;
        if (u) {
            moved *= NAME(load)(u + i);
            NAME(learn)(v, g, by, i);
        }
        if (by->shrink != 0) moved += by->shrink * t;
        t += moved;
        *(NAME(Vec) *)(theta + i) = t;
        if (by->turn != 0) q += by->turn * NAME(load)(z + i);
        *(NAME(Vec) *)(m + i) = q;
    }
}
