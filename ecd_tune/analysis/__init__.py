"""Evaluation of stored trials: the best ones, statistics, comparisons and curves.

Everything here works on given records, never on a database. Names are imported on first use, so
that picking the best trial does not load scipy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ecd_tune.analysis.chosen import ChosenTrial, best_trials, choose_trial
    from ecd_tune.analysis.curves import Band, curve_band
    from ecd_tune.analysis.nested import compare_searches
    from ecd_tune.analysis.paired import (
        PairedComparison,
        compare_paired,
        fewest_pairs,
        holm,
        smallest_detectable,
    )
    from ecd_tune.analysis.reasons import ReasonGroup, group_reasons, normalise_reason
    from ecd_tune.analysis.select import (
        Confirmed,
        Counts,
        RunValue,
        best_so_far,
        best_trial,
        confirmed_runs,
        count_trials,
        rank_trials,
        same_params,
    )
    from ecd_tune.analysis.signed_rank import signed_rank_p, smallest_p
    from ecd_tune.analysis.statistics import (
        Interval,
        Summary,
        mean_interval,
        median_interval,
        quantile,
        share_interval,
        spans_decades,
        standard_deviation,
        summarise,
    )

__all__ = [
    "Band",
    "ChosenTrial",
    "Confirmed",
    "Counts",
    "Interval",
    "PairedComparison",
    "ReasonGroup",
    "RunValue",
    "Summary",
    "best_so_far",
    "best_trial",
    "best_trials",
    "choose_trial",
    "compare_paired",
    "compare_searches",
    "confirmed_runs",
    "count_trials",
    "curve_band",
    "fewest_pairs",
    "group_reasons",
    "holm",
    "mean_interval",
    "median_interval",
    "normalise_reason",
    "quantile",
    "rank_trials",
    "same_params",
    "share_interval",
    "signed_rank_p",
    "smallest_detectable",
    "smallest_p",
    "spans_decades",
    "standard_deviation",
    "summarise",
]

_MODULES = (
    *("select", "chosen", "reasons", "statistics", "curves"),
    *("signed_rank", "paired", "nested"),
)
"""Where the names are; what loads scipy comes last."""


def __getattr__(name: str) -> Any:
    if name in __all__:
        for module in _MODULES:
            found = import_module(f"{__name__}.{module}")
            if name in found.__all__:
                return getattr(found, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
