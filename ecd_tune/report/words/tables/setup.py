"""Settings, machine and versions of a study, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from ecd_tune.records import Stage, TrialRecord
from ecd_tune.report.model.circumstances import Setup, SpaceRow
from ecd_tune.report.words.numbers import format_duration, format_scalar
from ecd_tune.space import DERIVED, Fixed
from ecd_tune.spec import StudySpec
from ecd_tune.spec.sampler import GUIDED_EVERY, guided_trials
from ecd_tune.text import count

__all__ = ["describe_setup"]


def describe_setup(
    spec: StudySpec, records: Sequence[TrialRecord], environment: Mapping[str, str]
) -> Setup:
    """Describe a study's settings and circumstances.

    Args:
        spec: The study.
        records: All trials of all stages.
        environment: Host, processor and versions; its ``command``, where given, is the command
            line that runs the study again.

    Returns:
        The description.
    """
    started = min((r.started for r in records if r.started), default=None)
    ended = max((r.completed for r in records if r.completed), default=None)
    command = environment.get("command") or _command(spec)
    return Setup(
        spaces=tuple(_spaces(spec)),
        facts={name: text for name, text in _facts(spec, started, ended, records) if text},
        fingerprints={key: spec.fingerprint(key) for key in spec.optimizers},
        environment={name: text for name, text in environment.items() if name != "command"},
        started=started,
        ended=ended,
        command=command,
    )


def _command(spec: StudySpec) -> str:
    trials = f" --trials {spec.budget.trials}" if spec.budget.trials is not None else ""
    name = f"{spec.name.removesuffix('-smoke')} --smoke" if spec.smoke else spec.name
    return f"ecd-tune run {name}{trials} --seed {spec.seed}"


def _spaces(spec: StudySpec) -> Iterator[SpaceRow]:
    for optimizer in spec.optimizers.values():
        definition, known = optimizer.definition, optimizer.searchable
        title = optimizer.title or definition.title
        words = optimizer.space.describe()
        for name, dimension in optimizer.space.dimensions.items():
            declared = known.get(name)
            searched = not isinstance(dimension, Fixed)
            doc = declared.doc if declared else ""
            yield SpaceRow(title, name, words[name], searched, doc)
        named = {*words, *(DERIVED[name].target for name in words if name in DERIVED)}
        for name, declared in definition.hyperparameters.items():
            if name not in named and declared.default is not None:
                text = f"= {format_scalar(declared.default)} (default)"
                yield SpaceRow(title, name, text, False, declared.doc)


def _facts(
    spec: StudySpec,
    started: datetime | None,
    ended: datetime | None,
    records: Sequence[TrialRecord],
) -> Iterator[tuple[str, str]]:
    task, unit = spec.task_def, spec.task_def.budget_unit
    yield "Task", f"{task.title} ({task.name}); {task.source}"
    yield "Task options, search", _options(spec, Stage.SEARCH)
    if spec.confirmation.task:
        yield "Task options, confirmation", _options(spec, Stage.CONFIRM)
    sizes = {spec.trials(key) for key in spec.optimizers}
    *fewer, most_trials = sorted(sizes)
    trials = " or ".join([*map(str, fewer), count(most_trials, "trial")])
    yield "Budget", f"{trials} per optimizer, {spec.steps(Stage.SEARCH)} {unit} each"
    batch = spec.budget.batch
    yield "Batch", f"at most {batch} trials at once" if batch > 1 else ""
    options = ", ".join(f"{k} = {format_scalar(v)}" for k, v in spec.sampler.options.items())
    chosen = f"; auto: {spec.sampler.why}" if spec.sampler.why else ""
    yield "Sampler", spec.sampler.name + (f" ({options})" if options else "") + chosen
    if any(optimizer.space.has_prior for optimizer in spec.optimizers.values()):
        most = guided_trials(spec.sampler)
        of = "all trials" if most is None else f"the first {most} trials"
        yield "Priors", f"{GUIDED_EVERY - 1} of {GUIDED_EVERY} of {of} are drawn from them"
    yield "Seed", str(spec.seed)
    keys = spec.searches("")
    if len(keys) > 1:
        yield "Searches", f"{len(keys)} per optimizer, each with the full budget"
    seeds = [str(spec.search_seed(0, key)) for key in keys]
    yield "Search seeds", f"{', '.join(seeds)} + trial number, the same for every optimizer"
    if spec.selection.top:
        again = f"the best {count(spec.selection.top, 'trial')} of each search"
        yield "Selection", f"{again} with {count(spec.selection.runs, 'seed')} each"
    if spec.confirmation.runs:
        runs, steps = spec.confirmation.runs, spec.steps(Stage.CONFIRM)
        of_each = " of each search's best" if len(keys) > 1 else ""
        yield "Confirmation", f"{count(runs, 'run')}{of_each} of {steps} {unit} each"
        spans = [f"{spec.confirm_seed(0, k)} to {spec.confirm_seed(runs - 1, k)}" for k in keys]
        yield "Confirmation seeds", f"{', '.join(spans)}, the same for every optimizer"
    else:
        yield "Confirmation", "off"
    workers = {record.worker for record in records if record.worker}
    yield "Workers", f"{len(workers)}: {', '.join(sorted(workers)[:8])}" if workers else ""
    devices = {r.cost.device for r in records if r.counts}
    yield "Devices", ", ".join(sorted(devices))
    yield "Started", _moment(started)
    yield "Ended", _moment(ended)
    elapsed = (ended - started).total_seconds() if started and ended else None
    yield "Duration", format_duration(elapsed) if elapsed is not None else ""


def _options(spec: StudySpec, stage: Stage) -> str:
    options = spec.task_options(stage)
    return ", ".join(f"{name} = {format_scalar(value)}" for name, value in options.items())


def _moment(moment: datetime | None) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S %Z") if moment else ""
