"""Division of the workers of a launch into groups, one per batch job or actor."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecd_tune.errors import LaunchError, UnknownNameError
from ecd_tune.launch import Launch, make_launcher
from ecd_tune.launch.group import GroupRun

URL = "postgresql://me:secret@host/db"
COUNTS = st.none() | st.integers(1, 9)


def plan(**settings: object) -> Launch:
    return Launch("a", ("zakharov",), URL, Path("logs"), **settings)  # type: ignore[arg-type]


@given(st.integers(1, 40), COUNTS, COUNTS, COUNTS)
def test_every_worker_is_in_one_group_that_has_its_gpus_and_cores(
    workers: int, whole: int | None, shared: int | None, cores: int | None
) -> None:
    launch = plan(
        workers=workers,
        gpus_per_worker=None if shared else whole,
        workers_per_gpu=shared,
        cores_per_worker=cores,
    )
    groups = launch.groups()
    indices = [group.first + i for group in groups for i in range(group.workers)]
    assert indices == list(range(workers))
    for group in groups:
        assert group.cores == group.workers * (cores or 1)
        if shared:
            assert (group.gpus, group.workers <= shared) == (1, True)
        else:
            assert (group.gpus, group.workers) == (whole or 0, 1)
    assert len(groups) == -(-workers // (shared or 1))


def test_both_rules_for_gpus_are_refused() -> None:
    with pytest.raises(LaunchError, match="mutually exclusive"):
        plan(gpus_per_worker=1, workers_per_gpu=2).groups()


def test_a_group_can_be_pickled_and_a_launch_hides_its_storage() -> None:
    launch = plan()
    run = GroupRun(launch, launch.groups()[0])
    assert pickle.loads(pickle.dumps(run)) == run
    assert "secret" not in repr(run)


def test_an_unknown_engine_lists_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="local, ray, slurm"):
        make_launcher("pbs", plan())


def test_settings_of_another_engine_are_refused() -> None:
    for engine, settings in (("local", {"partition": "gpu"}), ("ray", {"minutes": 60})):
        with pytest.raises(LaunchError, match="this engine does not support the setting"):
            make_launcher(engine, plan(**settings)).describe()
