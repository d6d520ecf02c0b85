import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecd_tune.errors import LaunchError
from ecd_tune.launch import Placement, find_gpus, plan_placements
from ecd_tune.launch.placement import parse_gpu_list

LISTED = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-aaaa-1)
  MIG 3g.20gb     Device  0: (UUID: MIG-bbbb-1)
  MIG 3g.20gb     Device  1: (UUID: MIG-bbbb-2)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-aaaa-2)
"""


def test_partitioned_gpu_is_replaced_by_its_mig_devices() -> None:
    assert parse_gpu_list(LISTED) == ["MIG-bbbb-1", "MIG-bbbb-2", "GPU-aaaa-2"]
    assert parse_gpu_list("No devices were found\n") == []


def test_cuda_visible_devices_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, MIG-x")
    assert find_gpus() == ["2", "MIG-x"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert find_gpus() == []


def test_workers_share_gpus_or_own_several() -> None:
    shared = plan_placements(4, ["a", "b"], workers_per_gpu=2)
    assert [place.gpus for place in shared] == [("a",), ("a",), ("b",), ("b",)]
    own = plan_placements(2, ["a", "b", "c", "d"], gpus_per_worker=2)
    assert [place.gpus for place in own] == [("a", "b"), ("c", "d")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gpus_per_worker": 1, "workers_per_gpu": 1}, "mutually exclusive"),
        ({"gpus_per_worker": 2}, "needs 6 GPUs; this machine shows 2"),
        ({"workers_per_gpu": 1}, "needs 3 GPUs; this machine shows 2"),
        ({"cores_per_worker": 2}, "needs 6 cores; 4 are available"),
    ],
)
def test_insufficient_resources_are_reported(options: dict[str, int], message: str) -> None:
    with pytest.raises(LaunchError, match=message):
        plan_placements(3, ["a", "b"], range(4), **options)  # type: ignore[arg-type]


@given(st.integers(1, 8), st.integers(1, 4))
def test_no_core_is_given_twice(workers: int, size: int) -> None:
    places = plan_placements(workers, (), range(workers * size), cores_per_worker=size)
    cores = [core for place in places for core in place.cores]
    assert sorted(cores) == list(range(workers * size))
    assert {place.environment()["OMP_NUM_THREADS"] for place in places} == {str(size)}


def test_no_pinning_by_default() -> None:
    assert plan_placements(2, ["a"], range(4)) == [Placement(), Placement()]
    assert Placement().environment() == {}
