/* The factors of moments.py: (v + floor)^power, where ⟨v⟩ stands for a v that is 0. Included by
   passes.c. */

/* The bits of a where `mask` is all ones, else those of b. */
INLINE Floats choose(Whole mask, Floats a, Floats b) {
    return floats_of((bits_of(a) & mask) | (bits_of(b) & ~mask));
}

/* x^power for x > 0. `power` is cut into a part of 12 bits, whose product with an exponent is
   exact, and the rest. */
INLINE Floats power_of(Floats x, float power) {
    const Whole half_root = (Whole){0} + 0x3f3504f3; /* √½ */
    uint32_t bits;
    memcpy(&bits, &power, sizeof bits);
    bits &= 0xfffff000u;
    float high, low;
    memcpy(&high, &bits, sizeof high);
    low = power - high;
    Whole i = bits_of(x) - half_root;
    Floats e = __builtin_convertvector(i >> 23, Floats);
    Floats f = floats_of((i & 0x007fffff) + half_root) - 1.0f, f2 = f * f;
    Floats log2 = (log_series(f) * f * f2 - 0.5f * f2 + f) * (float)M_LOG2E;
    Floats exact = high * e, rest = low * e + power * log2;
    const float round = 0x1.8p23f;
    Floats turns = (exact + rest) + round, whole = turns - round;
    Floats r = (exact - whole) + rest;
    Floats p = 1.535336188319500e-4f * r + 1.339887440266574e-3f;
    p = p * r + 9.618437357674640e-3f;
    p = p * r + 5.550332471162809e-2f;
    p = p * r + 2.402264791363012e-1f;
    p = p * r + 6.931472028550421e-1f;
    p = p * r + 1.0f;
    return floats_of(bits_of(p) + ((bits_of(turns) - 0x4b400000) << 23));
}

INLINE void factors32(const float *v, float *u, const Piece *piece) {
    const Floats mean = (Floats){0} + (float)piece->mean;
    for (int i = 0; i < NUMBERS; i += AT_ONCE) {
        Floats own = *(const Stored *)(v + i);
        Floats known = choose((Whole)(own > 0), own, mean);
        *(Stored *)(u + i) = power_of(known + (float)piece->floor, (float)piece->power);
    }
}

static void factors64(const double *v, double *u, const Piece *piece) {
    for (int i = 0; i < NUMBERS; i++)
        u[i] = pow((v[i] > 0 ? v[i] : piece->mean) + piece->floor, piece->power);
}
