"""Run checks of exact systems, one process per family."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed

from ecd_tune.analysis.checks.model import Check, CheckResult, Subject
from ecd_tune.analysis.checks.study import CHECKS
from ecd_tune.errors import UnknownNameError
from ecd_tune.lab.simulator import Simulator
from ecd_tune.lab.systems import BUILT_IN

__all__ = ["run_systems", "system_checks"]


def system_checks(only: Sequence[str] = ()) -> list[Check]:
    """Return the checks of exact systems.

    Args:
        only: Ids; none at all means every one.

    Returns:
        The checks, by id.

    Raises:
        UnknownNameError: No check of exact systems has such an id.
    """
    others = (check for check in CHECKS if check.subject is Subject.SYSTEMS)
    systems = BUILT_IN | {check.id: check for check in others}
    for name in only:
        if name not in systems:
            raise UnknownNameError("check of exact systems", name, sorted(systems))
    return [check for name, check in sorted(systems.items()) if not only or name in only]


def run_systems(
    checks: Sequence[Check], seed: int = 7, processes: int = 1, *, fused: bool = False
) -> Iterator[CheckResult]:
    """Run checks, those of one family together, and give results as they come.

    The result of a check depends only on the seed, not on the other checks. Torch has one thread,
    in this process too where it runs them itself.

    Args:
        checks: From :func:`system_checks`.
        seed: Seed of everything random.
        processes: How many families run at once.
        fused: Chains run by the compiled step instead of the reference.

    Yields:
        The results.
    """
    families = _families(checks)
    if processes == 1:
        for family in families:
            yield from _run_family(family, seed, fused)
        return
    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        jobs = [pool.submit(_run_family, family, seed, fused) for family in families]
        for job in as_completed(jobs):
            yield from job.result()


def _families(checks: Sequence[Check]) -> list[list[str]]:
    """Group ids by family, the longest first so that processes end together."""
    groups: dict[str, list[Check]] = {}
    for check in checks:
        groups.setdefault(check.family or check.id, []).append(check)
    longest_first = sorted(groups.values(), key=lambda family: -max(c.seconds for c in family))
    return [[check.id for check in family] for family in longest_first]


def _run_family(ids: Sequence[str], seed: int, fused: bool) -> list[CheckResult]:
    import torch  # here, since it is slow to import

    torch.set_num_threads(1)
    sim = Simulator(seed, fused)
    return [check.run(sim) for check in system_checks(ids)]
