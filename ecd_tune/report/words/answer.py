"""The first lines of a report: the answer in plain words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from ecd_tune.analysis import Interval, Summary
from ecd_tune.records import Direction, Stage
from ecd_tune.report.model.compare import rank_results
from ecd_tune.report.model.rows import ComparisonRow, ResultRow
from ecd_tune.report.words.notes import (
    describe_final,
    describe_holding,
    describe_stop,
    state_median,
)
from ecd_tune.report.words.numbers import format_number, format_p
from ecd_tune.spec import StudySpec

__all__ = ["compose_answer", "describe_protocol", "format_effect"]


def describe_protocol(spec: StudySpec) -> tuple[bool, str]:
    """Say what the study's protocol means for its numbers.

    Args:
        spec: The study.

    Returns:
        Whether every number is an oracle number, and a sentence.
    """
    if not spec.learns:
        return False, (
            f"Protocol {spec.protocol}. A synthetic task has no test split: a value is the "
            f"{spec.task_def.metric}. The search minimises it from its own start; the "
            "confirmation reruns the chosen hyperparameters from the starts of fresh seeds."
        )
    if spec.oracle:
        return True, (
            "Protocol paper: every number is an oracle number, a maximum selected on the test "
            "split that is also reported. It is too good, as the paper's own are, and must not "
            "stand beside numbers of the clean protocol."
        )
    return False, (
        "Protocol clean: a validation split drives every choice; the test split is looked at "
        "once for each confirmation run, after all choices."
    )


def compose_answer(
    spec: StudySpec,
    results: Sequence[ResultRow],
    comparisons: Sequence[ComparisonRow],
    oracle: bool,
) -> tuple[str, ...]:
    """Answer which optimizer is best, by how much, and whether that is beyond noise.

    Args:
        spec: The study.
        results: All rows.
        comparisons: All comparisons.
        oracle: Whether every number carries that word.

    Returns:
        Sentences.
    """
    mark = " (oracle)" if oracle else ""
    ranked = rank_results(results, spec.task_def.direction)
    if not ranked:
        return tuple(_answer_from_search(spec, results, mark))
    return tuple(_answer_from_runs(spec, ranked, comparisons, mark))


def _answer_from_search(spec: StudySpec, results: Sequence[ResultRow], mark: str) -> Iterator[str]:
    sign = spec.task_def.direction.sign
    found = sorted(
        (sign * row.search_value, row.label, row.search_value)
        for row in results
        if row.search_value is not None
    )
    if not found:
        yield "There is no answer yet: no trial of the search has ended with a value."
        return
    values = ", ".join(f"{label} {format_number(v)}{mark}" for _, label, v in found)
    yield f"There is no confirmed answer yet. Best so far in the search: {values}."
    if all(spec.trials(key) == 1 for key in spec.optimizers):
        yield "Each is a single trial; only runs under several seeds can tell them from noise."
        return
    yield (
        "These are values that the search selected, each the best of many tries; "
        "only runs under fresh seeds can confirm them."
    )


def _answer_from_runs(
    spec: StudySpec,
    ranked: Sequence[ResultRow],
    comparisons: Sequence[ComparisonRow],
    mark: str,
) -> Iterator[str]:
    best, metric = ranked[0], _quantity(spec)
    yield _opening(spec, ranked, metric, mark)
    if len(ranked) > 1:
        yield f"The others' medians: {', '.join(state_median(row, mark) for row in ranked[1:])}."
    key = _deciding(ranked, comparisons)
    if key is not None:
        yield _verdict(key, best, spec.task_def.direction, mark)
    yield from filter(None, (describe_final(row, spec.task_def.direction, mark) for row in ranked))
    yield from filter(None, _about_winner(spec, best))
    ours = [row for row in ranked if spec.optimizers[row.optimizer].optimizer == "ecdsep"]
    if ours and ours[0] is not best:
        yield f"{ours[0].label} is not the best here: it ranks {ranked.index(ours[0]) + 1} of " + (
            f"{len(ranked)}."
        )


def _about_winner(spec: StudySpec, best: ResultRow) -> Iterator[str]:
    runs = len(best.confirmed.runs)
    if best.stopped > runs / 2:
        yield describe_stop(spec, best)
    if best.held > runs / 2:
        yield describe_holding(best)


def _opening(spec: StudySpec, ranked: Sequence[ResultRow], metric: str, mark: str) -> str:
    best = ranked[0]
    assert best.summary is not None  # ranked rows have runs
    start = spec.task_options(Stage.CONFIRM).get("start") == "uniform"
    runs = f"{best.summary.runs} {'random starts' if start else 'fresh seeds'}"
    if len(ranked) > 1 and math.isinf(best.summary.median):
        return (
            f"No optimizer holds a value in half of its runs: {best.label} comes nearest, with "
            f"{best.lacking} of {best.summary.runs} runs that diverged or failed."
        )
    claim = "is best" if len(ranked) > 1 else "is the only optimizer with confirmed runs"
    equal = [row.label for row in ranked[1:] if _median(row) == best.summary.median]
    if equal:
        claim = f"is best, level with {' and '.join(equal)},"
    return (
        f"{best.label} {claim} on the task “{spec.task_def.title}”: over {runs}, and for the "
        f"{metric}, {describe_median(best.summary)}{mark}; {_lacking(best, mark)}."
    )


def _median(row: ResultRow) -> float | None:
    return row.summary.median if row.summary else None


def _quantity(spec: StudySpec) -> str:
    name = spec.task_def.confirm_metric
    return spec.metric if name == "value" else name.replace("_", " ")


def describe_median(summary: Summary) -> str:
    """Print a median with its quartiles.

    Args:
        summary: Of confirmation runs.

    Returns:
        For example ``the median is 0.97 (quartiles 0.96 to 0.98)``.
    """
    q1, q3 = (format_number(q, infinite="diverged") for q in (summary.q1, summary.q3))
    quartiles = f"(quartiles {q1} to {q3})"
    if math.isinf(summary.median):
        return f"there is no median, as so many runs diverged {quartiles}"
    return f"the median is {format_number(summary.median)} {quartiles}"


def _lacking(row: ResultRow, mark: str) -> str:
    assert row.summary is not None  # asked of rows with runs only
    text = f"{row.confirmed.diverged} of {row.summary.runs} runs diverged"
    if row.confirmed.failed:
        text += f" and {row.confirmed.failed} failed"
    changed = row.reached is not None and row.reached.median != row.summary.median
    if changed and row.reached is not None and math.isfinite(row.reached.median):
        reached = format_number(row.reached.median)
        text += f"; counting what they reached before the end, the median is {reached}{mark}"
    return text


def _deciding(
    ranked: Sequence[ResultRow], comparisons: Sequence[ComparisonRow]
) -> ComparisonRow | None:
    """Return the comparison of the best with the baseline, or of the baseline with the next.

    Returns:
        The row, or None when there is no other optimizer with common seeds.
    """
    rows = [c for c in comparisons if c.family == "optimizers" and c.result.pairs]
    best = ranked[0].optimizer
    for row in rows:
        if row.first_optimizer == best:
            return row
    later = [r.optimizer for r in ranked[1:]]
    against = [c for c in rows if c.second_optimizer == best and c.first_optimizer in later]
    return min(against, key=lambda c: later.index(c.first_optimizer), default=None)


def _verdict(row: ComparisonRow, best: ResultRow, direction: Direction, mark: str) -> str:
    other = row.second if row.first_optimizer == best.optimizer else row.first
    wins = row.result.wins if row.first_optimizer == best.optimizer else row.result.losses
    effect = format_effect(row, row.first_optimizer != best.optimizer, direction)
    text = (
        f"Against {other}, seed by seed, {best.label} is better at {wins} of {row.result.pairs} "
        f"seeds; its value is {effect}{mark}"
    )
    if row.beyond_noise:
        return f"{text}. The difference is beyond noise ({_p(row)})."
    few = " with so few seeds it could not be" if row.result.pairs < 6 else ""
    return f"{text}. The difference is not beyond noise ({_p(row)})" + (f";{few}." if few else ".")


def _p(row: ComparisonRow) -> str:
    text = format_p(row.p_adjusted)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def format_effect(row: ComparisonRow, swap: bool, direction: Direction) -> str:
    """Put the median difference of a comparison in words.

    Args:
        row: The comparison.
        swap: Tell it from the second side's point of view.
        direction: Whether a smaller or a larger value is better.

    Returns:
        For example ``larger by 0.012 in the median (95 % interval 0.004 to 0.02)``.
    """
    result = row.result
    if result.median is None:
        return "without common seeds"
    median = -result.median if swap else result.median
    if math.isinf(median):
        side = "the other" if direction.sign * median < 0 else "it"
        return f"not comparable in the median, because {side} has no value there"
    if median == 0:
        return "equal in the median"
    # Told in the direction of the median, so that an interval around "3 times smaller" has 3 in it.
    word, flip = ("smaller", True) if median < 0 else ("larger", False)
    ends = _ends(result.median_interval, swap != flip)
    size = _power(abs(median)) if result.log else abs(median)
    span = [format_number(_power(end) if result.log else end, 3) for end in ends]
    unit = format_number(size, 3)
    text = f"{unit} times {word}" if result.log else f"{word} by {unit}"
    return f"{text} in the median" + (f" (95 % interval {span[0]} to {span[1]})" if span else "")


def _ends(interval: Interval | None, turned: bool) -> tuple[float, ...]:
    if interval is None:
        return ()
    return (-interval.high, -interval.low) if turned else (interval.low, interval.high)


def _power(exponent: float) -> float:
    # 10 ** 400 overflows; no reader minds whether a ratio is 1e400 or infinite.
    return 10.0**exponent if exponent < 308 else math.inf
