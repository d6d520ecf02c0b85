/* One step of one trajectory: sums, then dynamics.py, driver.py and unit_step.py in float64 on
   three vectors that are never formed but in the update, then the update.

   A vector is given by its factors of the unit momentum m/|m|, the unit force f/|f| and the noise
   z. Its norm follows from the sums; where they cancel, a pass over the elements measures it. */

#include "step.h"

#include <math.h>
#include <string.h>

#define LOG_LIMIT 700.0
#define MOST 1e300
/* A square below this share of its terms has lost too many digits to cancellation. */
#define CANCELS 1e-3

typedef struct { double m, f, z; } Vector;

typedef struct {
    const Passes *passes;
    Run *run;
    int64_t threads, step, noise;
    int64_t momentum_only; /* nothing but m may be read */
    double m, f, zz;       /* |m|, |f|, |z|² */
    double mf, mz, fz;     /* scalar products with the unit vectors of m and f */
    double gap, log_gap, log_potential;
    double speed;
    Vector e, drifted;     /* direction of Π now, and where Θ drifts */
    double turn;           /* factor of the noise that is added last */
    double k, floor, mean, power, taken; /* of moments.py, before the step; 1/|g| */
    double squares[SUMS];
    Piece update;
} Step;

/* ------------------------------------------------------------------ passes */

static Piece piece_of(const Step *s, int64_t index) {
    const Run *run = s->run;
    const Block *block = run->blocks + run->pieces[2 * index];
    int64_t from = run->pieces[2 * index + 1], left = block->size - from;
    return (Piece){
        .block = block,
        .from = from,
        .to = from + (left < PIECE ? left : PIECE),
        .weight_decay = run->sign * block->weight_decay,
        .double_noise = run->double_noise,
        .seed = (uint64_t)run->seed,
        .first = (uint64_t)(s->step * run->stride + block->begin),
        .floor = s->floor,
        .mean = s->mean,
        .power = s->power,
        .taken = s->taken * block->share,
        .forgetting = run->forgetting,
    };
}

/* Δt of a block, but for the u of each number. */
static double lr_of(const Step *s, const Block *block) {
    return block->moment ? block->lr * s->k : block->lr;
}

static void reduce_piece(void *context, int64_t index) {
    const Step *s = context;
    const Run *run = s->run;
    Piece piece = piece_of(s, index);
    Block block = *piece.block;
    double *sums = run->partial + index * SUMS, by = run->sign * lr_of(s, &block);
    piece.noise = s->noise;
    if (s->momentum_only) {
        block.theta = block.momentum;
        block.grad = block.momentum;
        block.moment = NULL;
        piece.block = &block;
        piece.weight_decay = 0;
    }
    s->passes->reduce(&piece, sums);
    sums[MH] *= by;
    sums[HH] *= by * by;
    sums[HZ] *= by;
    sums[TT] *= block.weight_decay;
    sums[GG] *= block.share * block.share;
    sums[UU] *= block.share * block.share;
}

static void square_piece(void *context, int64_t index) {
    const Step *s = context;
    Piece piece = piece_of(s, index);
    piece.keep = s->update.keep;
    piece.push = s->update.push * s->run->sign * lr_of(s, piece.block);
    piece.toss = s->update.toss;
    piece.noise = piece.toss != 0;
    s->run->partial[index * SUMS] = s->passes->square(&piece);
}

static void update_piece(void *context, int64_t turned) {
    const Step *s = context;
    /* From the end, where the first pass left its elements in the cache. */
    Piece piece = piece_of(s, s->run->n_pieces - 1 - turned);
    piece.keep = s->update.keep;
    piece.push = s->update.push * s->run->sign * lr_of(s, piece.block);
    piece.toss = s->update.toss;
    piece.drift = s->update.drift * lr_of(s, piece.block);
    piece.shrink = expm1(-piece.block->rate);
    piece.turn = s->update.turn;
    piece.noise = piece.toss != 0 || piece.turn != 0;
    s->passes->update(&piece);
}

/* Sum in pairs, so that the error grows with the logarithm of the count. */
static double sum_pieces(const double *numbers, int64_t count) {
    if (count <= 8) {
        double sum = 0;
        for (int64_t i = 0; i < count; i++) sum += numbers[i * SUMS];
        return sum;
    }
    int64_t half = count / 2;
    return sum_pieces(numbers, half) + sum_pieces(numbers + half * SUMS, count - half);
}

static void reduce_all(Step *s) {
    const Run *run = s->run;
    share_out(reduce_piece, s, run->n_pieces, s->threads);
    for (int i = 0; i < SUMS; i++)
        s->squares[i] = sum_pieces(run->partial + i, run->n_pieces);
}

#include "phases.h"

/* ----------------------------------------------------------------- a whole step */

/* What the step leaves for Diagnostics, in the order of its columns. */
typedef struct {
    double made, held, gap, log_potential, log_energy, s, before, speed, turned, rescaled, above,
        log_gap, force, log_p, after, F0, pace;
} Row;

static void evaluate_point(Step *s, double loss, double F0) {
    const double *sums = s->squares;
    s->m = sqrt(sums[MM]);
    s->f = sqrt(sums[HH]);
    s->zz = sums[ZZ];
    double m = s->m > 1e-37 ? 1 / s->m : 0, f = s->f > 0 ? 1 / s->f : 0;
    s->mf = sums[MH] * m * f;
    s->mz = sums[MZ] * m;
    s->fz = sums[HZ] * f;
    s->e = (Vector){s->m > 1e-37 ? 1 : 0, 0, 0};
    s->gap = loss - F0 + 0.5 * sums[TT];
    s->log_gap = log(s->gap);
    s->log_potential = s->run->eta * s->log_gap;
}

/* The last row, if it must be told how long the momentum was after its turn, else NULL. */
static double *unsettled(const Run *run, Row *last) {
    if (!run->rows || run->sync || !run->chaotic || *run->filled == 0) return NULL;
    double *place = run->rows + (*run->filled - 1) * COLUMNS;
    memcpy(last, place, sizeof *last);
    return last->made && last->after != -INFINITY && isnan(last->turned) ? place : NULL;
}

/* Only now is that measured. */
static void settle(const Run *run, double size) {
    Row last;
    double *place = unsettled(run, &last);
    if (!place) return;
    last.turned = size;
    memcpy(place, &last, sizeof last);
}

/* The kicks, turn and rescale of ECDSep; returns the new log|Π|. */
static double advance(Step *s, double log_p, double log_energy, int64_t updates, Row *row) {
    const Run *run = s->run;
    double strength = log(run->eta) - s->log_gap;
    double excess = log_energy - s->log_potential;
    double target = 0.5 * (run->bounded ? log_expm1(excess) : excess);
    if (run->sync) {
        strength -= M_LN2;
        log_p = kick(s, log_p, updates > 0 ? strength : -INFINITY);
    }
    row->before = log_p;
    double top = larger(log_p, target);
    double difference = 2 * top + log(-expm1(-2 * fabs(log_p - target)));
    row->rescaled = run->conserve && target > -INFINITY && log_p > -INFINITY
                    && difference > run->log_eps1;
    if (row->rescaled) log_p = target;
    row->above = run->conserve && run->bounded && excess < 0;
    row->log_p = log_p;
    if (run->sync && run->chaotic) row->turned = turn_now(s, log_p, run->nu);
    log_p = kick(s, log_p, strength);
    row->after = log_p;
    row->speed = s->speed = drift_factor(log_p, run->s);
    if (!run->sync && run->chaotic && log_p > -INFINITY) s->turn = run->nu;
    return log_p;
}

static double unit_kick(Step *s, double log_p, double log_delta, double *kicked) {
    const Run *run = s->run;
    double length = run->conserve ? 0 : log_p;
    if (run->exact) {
        flow_exact(s, log_delta);
        *kicked = length;
        return log_p;
    }
    *kicked = flow_first_order(s, length, log_delta);
    return run->conserve ? log_p : *kicked;
}

/* The same of ECDq1. */
static double unit_advance(Step *s, double log_p, int64_t updates, Row *row) {
    const Run *run = s->run;
    double n = (double)(run->size > 1 ? run->size : 1), root = sqrt(run->eta);
    double nu = run->nu / sqrt(n), kicked;
    if (run->conserve && log_p == -INFINITY) log_p = 0;
    double delta = log(root * s->f * (0.5 * n / (n > 2 ? n - 1 : 1))) - s->log_gap;
    if (run->sync) {
        delta -= M_LN2;
        log_p = unit_kick(s, log_p, updates > 0 ? delta : -INFINITY, &kicked);
        if (run->chaotic) row->turned = turn_now(s, log_p, nu);
    }
    log_p = unit_kick(s, log_p, delta, &row->before);
    row->log_p = row->after = run->conserve ? 0 : log_p;
    row->speed = exp(row->log_p);
    row->rescaled = (double)run->conserve;
    row->pace = 1 / root;
    s->speed = row->speed / root;
    if (!run->sync && run->chaotic && log_p > -INFINITY) s->turn = nu;
    return log_p;
}

static void lower(Run *run, double gap, double loss, double F0) {
    double rounding = 0x1p-52 * larger(fabs(F0), fabs(loss));
    double least = fmax(exp(run->log_eps2 / run->eta), 0x1p-1022);
    double depth = larger(fabs(gap), larger(least, rounding));
    double lowered = F0 - run->shift_factor * depth;
    run->floats[2] = lowered - run->F0;
    run->ints[6] += 1;
    if (run->resets_energy)
        run->floats[1] = log_add(2 * run->floats[0], log(run->s))
                         + run->eta * log(gap + (F0 - lowered));
}

static void count(const Step *s, double loss, int live, int below, int converged, int ok,
                  int unreachable) {
    Run *run = s->run;
    int bad = !(ok || below || converged);
    if (!isfinite(loss) && run->ints[1] < 0) run->ints[1] = s->step;
    if (run->unit_speed) {
        run->ints[2] += live && below;
        run->ints[3] += live && !ok && !below;
        return;
    }
    run->ints[2] += live && below;
    run->ints[3] += live && converged;
    run->ints[4] += live && bad;
    run->ints[5] += unreachable;
}

static void keep_row(Run *run, const Row *row) {
    if (!run->rows || *run->filled >= ROWS) return;
    memcpy(run->rows + *run->filled * COLUMNS, row, sizeof *row);
    *run->filled += 1;
}

void make_step(const Passes *passes, Run *run, double loss, int active, int64_t threads) {
    if (!active) {
        settle_row(passes, run, threads);
        keep_row(run, &(Row){.turned = NAN});
        *run->steps += 1;
        return;
    }
    const int unit_speed = (int)run->unit_speed, finite = isfinite(loss);
    const double F0 = run->F0 + (unit_speed ? 0 : run->floats[2]);
    Step step = {.passes = passes, .run = run, .threads = threads, .step = *run->steps};
    Step *s = &step;
    s->noise = run->chaotic && run->sync;
    refine(s);
    reduce_all(s);
    evaluate_point(s, loss, F0);
    settle(run, s->m);

    const int live = finite && !(run->flags[1] && !unit_speed);
    const int above = s->gap > 0 && s->gap < INFINITY, seen = s->log_potential >= run->log_eps2;
    const int below = unit_speed ? s->gap <= run->eps2 : s->gap <= 0;
    const int converged = unit_speed ? below && s->gap > 0 : above && !seen;
    const int ok = above && seen && s->f < INFINITY;
    const int go = live && ok && run->flags[0] && !(unit_speed && below);
    Row row = {
        .made = go, .held = !go, .gap = s->gap, .log_potential = s->log_potential,
        .log_energy = unit_speed ? s->log_potential : run->floats[1], .s = run->s, .turned = NAN,
        .log_gap = s->log_gap, .force = s->f, .F0 = F0, .pace = 1,
    };
    double log_p = unit_speed ? unit_advance(s, run->floats[0], run->ints[0], &row)
                              : advance(s, run->floats[0], run->floats[1], run->ints[0], &row);
    if (go) {
        set_factors(s, s->e);
        s->update.drift = s->speed;
        s->update.turn = s->turn;
        learn(s);
        share_out(update_piece, s, run->n_pieces, threads);
        run->floats[0] = log_p;
        run->ints[0] += 1;
    }
    if (unit_speed ? live : finite) run->flags[unit_speed ? 1 : 2] = (uint8_t)converged;
    count(s, loss, live, below, converged, ok, go && row.above);
    if (!unit_speed && live) {
        if (run->on_gap == STOP && below) run->flags[1] = 1;
        if (run->on_gap == SHIFT && (below || (run->shifts_early && converged)))
            lower(run, s->gap, loss, F0);
    }
    keep_row(run, &row);
    *run->steps += 1;
}

void settle_row(const Passes *passes, Run *run, int64_t threads) {
    Row last;
    if (!unsettled(run, &last)) return;
    Step step = {.passes = passes, .run = run, .threads = threads, .momentum_only = 1};
    reduce_all(&step);
    settle(run, sqrt(step.squares[MM]));
}
