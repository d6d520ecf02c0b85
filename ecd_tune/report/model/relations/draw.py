"""Relations of a study's checks, as panels: each trial's measurement against the prediction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from ecd_tune.analysis.checks import Declared, StudyCheckResult
from ecd_tune.report.model.relations import laws, runs
from ecd_tune.report.model.relations.panels import ScatterPanel
from ecd_tune.report.model.relations.parts import Drawn

__all__ = ["relation_panels"]

_PANELS: Mapping[str, Callable[[Drawn], Iterator[ScatterPanel]]] = {
    **laws.PANELS,
    **runs.PANELS,
}
"""Id of a check to the panels of its relation."""


def relation_panels(checked: Sequence[StudyCheckResult]) -> tuple[ScatterPanel, ...]:
    """Draw the trials that the checks used.

    Args:
        checked: Their results.

    Returns:
        Panels in the order of the checks; none for checks that relate no two numbers, or whose
        trials are still to come.
    """
    drawn = defaultdict(list)
    for entry in checked:
        removed = f" ({entry.declared})" if entry.declared is Declared.REMOVED else ""
        drawn[entry.check.name].append((entry.title + removed, entry.data))
    return tuple(panel for name in drawn if name in _PANELS for panel in _PANELS[name](drawn[name]))
