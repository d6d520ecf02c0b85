"""What the checks of a study relate, as panels: each trial's measurement against the prediction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from ecd_tune.analysis.checks.runs import StudyTrials
from ecd_tune.records import StudyKey, TrialRecord
from ecd_tune.report import law_panels, run_panels
from ecd_tune.report.panel_parts import Judged
from ecd_tune.report.scatter import ScatterPanel
from ecd_tune.spec import StudySpec

__all__ = ["Study", "relation_panels"]

Study = tuple[StudySpec, Mapping[StudyKey, Sequence[TrialRecord]]]
"""A study with the records of its optimizers."""

_PANELS: Mapping[str, Callable[[Judged], Iterator[ScatterPanel]]] = {
    **law_panels.PANELS,
    **run_panels.PANELS,
}
"""Id of a check to what it relates."""


def relation_panels(
    spec: StudySpec,
    trials: Mapping[StudyKey, Sequence[TrialRecord]],
    others: Mapping[str, Study] | None = None,
) -> tuple[ScatterPanel, ...]:
    """Draw what the declared checks are about.

    Args:
        spec: The study.
        trials: Its records.
        others: Further studies by the name under which a check compares them.

    Returns:
        Panels in the order in which the checks are declared; none for checks that relate no two
        numbers, or whose trials are still to come.
    """
    judged: dict[str, dict[str, StudyTrials]] = defaultdict(dict)
    for key, optimizer in spec.optimizers.items():
        label = optimizer.title or optimizer.definition.title
        for check in spec.checks_of(key):
            compared = tuple(
                StudyTrials(other, key, found.get(other.key(key), ()))
                for other, found in ((others or {}).get(name, (None, {})) for name in check.studies)
                if other is not None and key in other.optimizers
            )
            records = trials.get(spec.key(key), ())
            judged[check.name][label] = StudyTrials(spec, key, records, check.options, compared)
    order = dict.fromkeys(check.name for check in spec.checks)
    return tuple(
        panel
        for name in order
        if name in _PANELS and judged[name]
        for panel in _PANELS[name](judged[name])
    )
