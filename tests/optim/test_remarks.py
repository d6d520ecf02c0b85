"""Remarks on failed runs are correct, and good runs have none."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

from ecd_tune.optim import ECDq1, ECDSep
from ecd_tune.optim.monitoring.course import Course
from ecd_tune.optim.monitoring.remarks import FLAGS, Setting, describe_flags, find_flags
from ecd_tune.records import Stage
from ecd_tune.tasks.digits import make

GOOD = Course(
    steps=400, share_hot=0.02, loss_start=0.69, loss_early=0.6, loss_end=0.17, noise=0.04,
    gap_start=0.69, gap_end=0.17, path=14.5, path_bound=40, path_needed=0.18, fall=60.0,
    orbit_step=0.3, drift=0.36, plateau_gap=0.06, plateau_floor=0.11,
)  # fmt: skip
"""SST-2 from scratch with the share rule, Δt .1, η 3."""
LEVEL = GOOD._replace(
    loss_start=4.24, loss_early=3.5, loss_end=2.57, gap_start=4.24, gap_end=2.57, fall=7.4,
    drift=0.012, orbit_step=0.05, plateau_gap=0.67, plateau_floor=1.9,
)  # fmt: skip
"""A small language model, Δt .2, η 3."""
STUCK = GOOD._replace(
    loss_end=0.687, loss_early=0.689, noise=0.009, gap_end=0.687, path=1.0, path_bound=4.0,
    path_needed=2.0, fall=0.18, drift=0.009, plateau_gap=0.004, share_hot=0.515,
)  # fmt: skip
"""SST-2, Δt .01, η 2: the noise of batches takes V above 𝓔 in half of the steps."""
PLAIN = Setting(s=1, heated=False, auto_lr=False, auto_F0=False, unit_speed=False)


@pytest.mark.parametrize(
    ("course", "flag"),
    [
        (GOOD, None),
        (GOOD._replace(share_hot=0.51), "hot"),
        (GOOD._replace(loss_end=0.718, loss_early=0.7, gap_end=0.718), "hot"),
        (GOOD._replace(loss_end=0.70, loss_early=0.7, noise=0.01, gap_end=0.7), None),
        # The first batch of a noisy run may have a low loss by chance.
        (
            GOOD._replace(
                loss_start=0.1,
                gap_start=0.1,
                loss_early=2.0,
                loss_end=0.35,
                gap_end=0.35,
                noise=0.4,
            ),
            None,
        ),
        (STUCK, "slow"),
        (STUCK._replace(fall=0.9), "hot"),
        (STUCK._replace(gap_end=0.2, share_hot=0.02), None),
        (LEVEL, "plateau"),
        (LEVEL._replace(drift=0.07), None),
        (LEVEL._replace(fall=1.3), None),
        (LEVEL._replace(plateau_gap=0.25), None),
        (LEVEL._replace(orbit_step=0.7), "hot"),
    ],
)
def test_each_threshold_is_used(course: Course, flag: str | None) -> None:
    assert find_flags(course) == {name: name == flag for name in FLAGS}
    assert len(list(describe_flags(course, PLAIN))) == (flag is not None)


@pytest.mark.parametrize(
    ("course", "setting", "texts"),
    [
        (
            GOOD._replace(share_hot=0.77),
            PLAIN,
            ["V exceeded 𝓔 in 77 % of the steps; lower lr, raise delta_energy, or set s = 0"],
        ),
        (
            GOOD._replace(share_hot=0.77),
            PLAIN._replace(s=0, heated=True, auto_lr=True),
            ["the loss was above its start in 77 % of the steps; lower orbit_step"],
        ),
        (
            GOOD._replace(loss_end=0.718, loss_early=0.7, gap_end=0.718),
            PLAIN._replace(heated=True),
            ["the loss ended at 0.718, above its start of 0.69; lower delta_energy"],
        ),
        (LEVEL._replace(orbit_step=0.7), PLAIN, ["0.7 radians of an orbit", "; lower lr"]),
        (
            STUCK,
            PLAIN,
            [
                "the run hardly moves: 400 steps have a path of 1, but F0 is at least 2 away",
                "could lower F − F0 by 16 % at most; raise lr or lower eta",
            ],
        ),
        (
            STUCK._replace(path_bound=0.4),
            PLAIN,
            [
                "lr is too small to leave the start: 400 steps of at most 0.001 give a path of 0.4",
                "but F0 is at least 2 away; raise lr or take more steps",
            ],
        ),
        (
            LEVEL,
            PLAIN,
            [
                "the loss stays near 2.57",
                "D/(η_eff − 1) = 0.67 above its floor (at least 1.9)",
                "raise F0 or eta (with a larger lr",
            ],
        ),
        (LEVEL, PLAIN._replace(auto_lr=True), ["; raise F0 or eta"]),
        (LEVEL, PLAIN._replace(auto_lr=True, auto_F0=True), ["; raise eta"]),
    ],
)
def test_remarks_have_numbers_and_a_remedy(
    course: Course, setting: Setting, texts: list[str]
) -> None:
    (sentence,) = describe_flags(course, setting)
    for text in texts:
        assert text in sentence


def digits(kind: Any, steps: int = 340, **values: Any) -> dict[str, Any]:
    problem = make().build(0, Stage.SEARCH)
    optimizer = kind(problem.parameters, seed=0, **values)
    for step in range(steps):
        optimizer.step(lambda step=step: problem.closure(step))
    return optimizer.report()


@pytest.mark.parametrize("steps", [40, 340])
@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (ECDSep, {"lr": 0.4, "eta": 2.0}),
        (ECDSep, {"lr": 1.0, "eta": 3.0, "nu": 1e-3}),
        (ECDSep, {"lr": 10.0, "eta": 2.0}),
        (ECDSep, {"lr": 0.4, "eta": 2.0, "s": 0}),
        (ECDSep, {"lr": 0.5, "eta": 2.0, "weight_decay": 1e-3, "integrator": "sync"}),
        (ECDq1, {}),
        (ECDq1, {"scale": "moments"}),
        (ECDq1, {"lr": 3.0, "eta": 100.0}),
        (ECDq1, {"lr": 1.0, "eta": 100.0, "nu": 0.1}),
    ],
)
def test_good_runs_on_digits_have_no_remark(steps: int, kind: Any, values: dict[str, Any]) -> None:
    report = digits(kind, steps, **values)
    assert report["loss_end"] < 0.7 * report["loss_start"]
    assert report["remarks"] == []


@pytest.mark.parametrize(
    ("kind", "values", "flag"),
    [
        (ECDSep, {"lr": 1e-3, "eta": 2.0}, "slow"),
        (ECDSep, {"lr": 1e-3, "eta": 3.0, "s": 0}, "slow"),
        (ECDSep, {"lr": 0.3, "eta": 20.0}, "slow"),  # a large η at a fixed Δt stands still
        (ECDSep, {"lr": 0.3, "eta": 3.0, "F0": -3.0}, "plateau"),
        (ECDSep, {"lr": 30.0, "eta": 1.0, "s": 0}, "hot"),
        (ECDq1, {"lr": 0.01, "eta": 100.0}, "slow"),
        (ECDq1, {"lr": 30.0, "eta": 100.0}, "hot"),
        (ECDq1, {"lr": 3.0, "eta": 2.0}, "hot"),
    ],
)
def test_bad_runs_on_digits_have_the_right_remark(
    kind: Any, values: dict[str, Any], flag: str
) -> None:
    report = digits(kind, **values)
    assert [name for name in FLAGS if report[name]] == [flag]
    assert len(report["remarks"]) == 1


def words(steps: int, **values: Any) -> dict[str, Any]:
    """Train a classifier on bags of rare words: few of the embedding's gradients are not 0."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.randn(2000, generator=generator)
    embedding = torch.nn.EmbeddingBag(2000, 16, mode="mean")
    head = torch.nn.Sequential(torch.nn.Linear(16, 16), torch.nn.Tanh(), torch.nn.Linear(16, 2))
    with torch.no_grad():
        for p in (*embedding.parameters(), *head.parameters()):
            p.copy_(0.1 * torch.randn(p.shape, generator=generator))
    params = [*embedding.parameters(), *head.parameters()]
    optimizer = ECDSep(params, seed=0, **values)
    for _ in range(steps):
        rows = torch.randint(2000, (64, 8), generator=generator)
        optimizer.zero_grad()
        wanted = (truth[rows].sum(1) > 0).long()
        loss = functional.cross_entropy(head(embedding(rows)), wanted)
        loss.backward()
        optimizer.step(loss=loss)
    return optimizer.report()


@pytest.mark.parametrize(
    ("values", "flag"),
    [
        ({"lr": 0.3, "eta": 3.0, "scale": "share"}, None),
        ({"lr": 0.3, "eta": 3.0}, None),
        ({"lr": 3.0, "eta": 2.0, "s": 0}, None),
        ({"lr": "auto", "eta": 3.0, "s": 0, "scale": "share"}, None),
        ({"lr": 0.02, "eta": 2.0, "delta_energy": 1.0, "scale": "share"}, "hot"),
        ({"lr": 0.1, "eta": 2.0, "delta_energy": 1.0}, "hot"),
        ({"lr": 1e-3, "eta": 2.0}, "slow"),
    ],
)
def test_a_text_classifier(values: dict[str, Any], flag: str | None) -> None:
    report = words(400, **values)
    assert [name for name in FLAGS if report[name]] == ([flag] if flag else [])
