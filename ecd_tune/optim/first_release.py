"""Read state_dicts of the first release, whose global state was under a third key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["convert_state_dict"]


def convert_state_dict(
    given: dict[str, Any],
    begin: Mapping[str, Tensor],
    groups: Sequence[Mapping[str, Any]],
    counters: Sequence[str],
) -> dict[str, Any]:
    """Return a state_dict in the present form.

    Args:
        given: A state_dict of any release.
        begin: Scalars of a run before its first step.
        groups: The optimizer's present groups, for options that the first release did not save.
        counters: Names of the counters, in the order of ``counts``.

    Returns:
        The same if it is in the present form. The first release drew random numbers from a
        generator; the run continues with others.
    """
    old = given.get("trajectory")
    if old is None:
        return given
    begin = {**begin, "seed": torch.tensor(0), "steps": torch.tensor(0)}
    found = {**begin, **_scalars(old, given, counters)}
    trajectory = {k: found[k].to(v.dtype, copy=True) for k, v in begin.items()}
    new = ("maximize", "foreach", "wait", "fused", "scale")
    options = {key: groups[0][key] for key in new if key in groups[0]}
    return {
        "state": {index: _momentum(own) for index, own in given["state"].items()},
        "param_groups": [
            {**options, **group, "trajectory": trajectory} for group in given["param_groups"]
        ],
    }


def _momentum(own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    nothing = torch.full((), torch.inf, dtype=torch.float64, device=own["direction"].device)
    return {
        "direction": own["direction"],
        "log_norm": own.get("aside", nothing),
        "share": torch.zeros_like(nothing),
        "batches": torch.zeros_like(nothing),
    }


def _scalars(
    old: Mapping[str, Any], given: Mapping[str, Any], counters: Sequence[str]
) -> dict[str, Tensor]:
    counts = dict(old["counts"])
    if "unreachable" in old:
        counts["unreachable"] = int(old["unreachable"])
    found: dict[str, Any] = {
        "seed": int.from_bytes(bytes(old["noise"]["generator"][:7].tolist()), "little"),
        "steps": old["steps"],
        "counts": [counts.get(name, 0) for name in counters],
        "started": "log_energy" in old,
        "converged": old.get("converged", False),
        "stopped": old.get("stopped", False),
    }
    names = {"log_p": "log_p", "log_energy": "log_energy", "t": "updates"}
    clock = {key: f"clock.{key}" for key in ("best", "idle", "fixed", "bounces")}
    tensors = {new: old[key] for key, new in {**names, **clock}.items() if key in old}
    if "offset" in old:
        F0 = given["param_groups"][0]["F0"]
        tensors["shift"] = old["offset"] - (0.0 if isinstance(F0, str) else F0)
    tuning = old.get("tuning", {})
    for part in ("orbit", "plateau"):
        tensors |= {f"auto.{part}.{key}": value for key, value in tuning.get(part, {}).items()}
    tensors |= {f"auto.{key}": value for key, value in tuning.get("steered", {}).items()}
    diagnostics = old.get("diagnostics", {})
    if "sums" in diagnostics:
        sums = diagnostics["sums"].clone()
        sums[0] += diagnostics["missed"]
        tensors |= {"sums": sums, "fastest": diagnostics["fastest"]}
    return {**{k: torch.as_tensor(v) for k, v in found.items()}, **tensors}
