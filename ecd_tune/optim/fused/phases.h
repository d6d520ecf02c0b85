/* The phases of a step in float64, on vectors that are never formed: those of dynamics.py and
   isokinetic.py, and what moments.py does to scalars. Included by scalars.c. */

/* ----------------------------------------------------------------- vectors */

static double inverse(double size, double tiny) { return 1 / (size > tiny ? size : tiny); }

/* The factors of the elements of m, f and z. */
static void set_factors(Step *s, Vector v) {
    s->update.keep = v.m == 0 ? 0 : v.m / s->m;
    s->update.push = v.f == 0 ? 0 : v.f / s->f;
    s->update.toss = v.z;
}

static double norm(Step *s, Vector v) {
    double parts = v.m * v.m + v.f * v.f + v.z * v.z * s->zz;
    double square = parts + 2 * (v.m * v.f * s->mf + v.m * v.z * s->mz + v.f * v.z * s->fz);
    if (square < CANCELS * parts) {
        set_factors(s, v);
        share_out(square_piece, s, s->run->n_pieces, s->threads);
        square = sum_pieces(s->run->partial, s->run->n_pieces);
    }
    return sqrt(square);
}

static Vector scaled(Vector v, double by) { return (Vector){v.m * by, v.f * by, v.z * by}; }

static Vector unit(Vector v, double size) {
    return scaled(v, fabs(size) > 1e-37 ? 1 / size : 0);
}

/* The larger, or NaN. */
static double larger(double a, double b) { return isnan(a) || a > b ? a : b; }

/* ------------------------------------------------------- phases, as in dynamics.py */

static double log_expm1(double x) { return x + log(-expm1(-x)); }

static double log_add(double a, double b) {
    double top = larger(a, b);
    return isinf(top) ? top : top + log1p(exp(-fabs(a - b)));
}

static double kick(Step *s, double log_p, double log_strength) {
    double log_kick = log_strength + log(s->f), scale = larger(log_p, log_kick);
    if (!(scale > -INFINITY)) scale = 0;
    Vector v = scaled(s->e, exp(log_p - scale));
    v.f -= exp(log_kick - scale) * s->f * inverse(s->f, 1e-37);
    double size = norm(s, v);
    s->e = unit(v, size);
    return scale + log(size);
}

/* Turn in the middle of a step. */
static double turn_now(Step *s, double log_p, double nu) {
    int moves = log_p > -INFINITY;
    Vector v = s->e;
    v.z += moves ? nu : 0;
    double size = norm(s, v);
    s->e = unit(v, size);
    return moves ? size : NAN;
}

static double drift_factor(double log_p, double s) {
    double tame = fmin(fmax(log_p, -LOG_LIMIT), LOG_LIMIT);
    return log_p > -INFINITY ? 2 / (exp(tame) + s * exp(-tame)) : 0;
}

/* ------------------------------------------------------- the flows of isokinetic.py */

static double along(const Step *s) {
    double dot = s->e.m * s->mf + s->e.f + s->e.z * s->fz;
    double c = -dot * s->f * inverse(s->f, s->run->tiny);
    return fmin(fmax(c, -1), 1);
}

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

static void flow_exact(Step *s, double log_delta) {
    double c = along(s), delta = fmin(exp(log_delta), MOST);
    double t = fmin(-expm1(-delta), 1 - s->run->rounding);
    double log_w = log(0.5 * (1 + c)) + delta;
    double keep = sigmoid(-log_w), lift = sigmoid(log_w);
    Vector v = scaled(s->e, keep);
    v.f -= t * (keep + t * lift) * s->f * inverse(s->f, s->run->tiny);
    s->e = unit(v, norm(s, v));
}

static double flow_first_order(Step *s, double log_p, double log_delta) {
    double c = along(s), strength = fmin(log_delta, -log(s->run->rounding));
    double keep = sigmoid(-strength), push = sigmoid(strength), length = exp(log_p);
    Vector v = scaled(s->e, length * (keep - length * c * push));
    v.f -= push * s->f * inverse(s->f, s->run->tiny);
    double size = norm(s, v);
    s->e = unit(v, size);
    return log(size) + log_add(strength, 0);
}

/* --------------------------------------------------------- second moments, as in moments.py */

static void refine(Step *s) {
    const Run *run = s->run;
    s->mean = run->scaling[1];
    s->floor = s->mean > 0 ? run->damping * s->mean : 1;
    s->power = run->full_power * expm1(-(double)s->step / run->warm_up);
    s->k = exp(run->scaling[0]);
}

/* Take the gradient of a step that is made into log k and ⟨v⟩; the update does so into v. */
static void learn(Step *s) {
    double *scaling = s->run->scaling, *sums = s->squares;
    double size = sqrt(sums[GG]), shaped = sqrt(sums[UU]) / size;
    if (!(size > 1e-37 && size < INFINITY && shaped > 0)) return;
    s->taken = 1 / size;
    scaling[0] -= fmax(1.0 / (double)(s->step + 1), 1 / s->run->memory) * log(s->k * shaped);
    scaling[1] = sums[VV] / fmax(sums[SEEN], 1);
}
