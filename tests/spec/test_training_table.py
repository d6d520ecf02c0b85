"""``[training]`` and ``[pruning]``: allowed keys, and the study's identity."""

from __future__ import annotations

from typing import Any

import pytest

from ecd_tune.errors import SpecError
from ecd_tune.records import Stage
from ecd_tune.spec import Averaging, StudySpec, parse_study

FIELDS = ("clip", "eval_every", "schedule")


def study(task: str = "digits", protocol: str = "clean", **changes: Any) -> StudySpec:
    optimizer = "gdm" if task == "ackley" else "sgd"
    return parse_study(
        {
            "name": "test",
            "protocol": protocol,
            "task": {"name": task, **changes.pop("task_options", {})},
            "budget": {"trials": 2, "steps": 10},
            "optimizers": {optimizer: {"space": {"lr": 0.1, "momentum": 0.9}}},
            **changes,
        }
    )


def test_device_is_not_part_of_the_fingerprint() -> None:
    auto = study("cora")
    for unseen in ({"device": "cuda:1"}, {"diagnostics": True}):
        assert study("cora", training=unseen).identity("sgd") == auto.identity("sgd")
    own = {"sgd": {"space": {"lr": 0.1, "momentum": 0.9}, "training": {"device": "cpu"}}}
    assert study("cora", optimizers=own).identity("sgd") == auto.identity("sgd")
    for changed in ({"precision": "bf16"}, {"accumulate": 2}, {"clip": 1.0}):
        assert study("cora", training=changed).fingerprint("sgd") != auto.fingerprint("sgd")


def test_disk_limit_of_averaging_can_be_raised() -> None:
    averaging = {"kind": "post_hoc", "start": 5}
    more = {**averaging, "max_gib": 100.0}
    small, large = (study(training={"averaging": table}) for table in (averaging, more))
    assert small.fingerprint("sgd") == large.fingerprint("sgd")
    assert large.training_for("sgd").averaging.max_gib == 100.0  # type: ignore[union-attr]
    assert small.training_for("sgd").identity() == large.training_for("sgd").identity()
    space = {"lr": 0.1, "momentum": 0.9}
    own = [
        study(optimizers={"sgd": {"space": space, "training": {"averaging": table}}})
        for table in (averaging, more, {**averaging, "start": 6})
    ]
    assert own[0].fingerprint("sgd") == own[1].fingerprint("sgd") != own[2].fingerprint("sgd")


def test_error_is_reported_once_in_its_table() -> None:
    late = {"averaging": {"kind": "swa", "start": 20}}
    optimizers: dict[str, Any] = {"sgd": {"space": {"lr": 0.1}}, "adam": {"space": {"lr": 0.1}}}
    with pytest.raises(SpecError) as shared:
        study(training=late, optimizers=optimizers)
    assert str(shared.value) == "study [training.averaging]: start = 20: a run has 10 epochs"
    optimizers["adam"]["training"] = {**late, "device": "cuda"}
    with pytest.raises(SpecError) as own:
        study(optimizers=optimizers)
    for words in ("training]: device = 'cuda'", "training.averaging]: start = 20"):
        assert f"study [optimizers.adam.{words}" in str(own.value)


@pytest.mark.parametrize(("protocol", "split"), [("paper", "test"), ("clean", "validation")])
def test_description_of_averaged_weights_names_the_split(protocol: str, split: str) -> None:
    spec = study(protocol=protocol, training={"averaging": {"kind": "post_hoc"}})
    assert spec.metric == f"best {split} accuracy of averaged weights"


def test_new_keys_keep_fingerprints_of_older_studies() -> None:
    identity = study().identity("sgd")
    assert set(identity["training"]) == set(FIELDS)
    assert "pruning" not in identity
    assert study(pruning={"kind": "none"}).identity("sgd") == identity
    assert study(pruning={"kind": "median"}).identity("sgd")["pruning"]["startup_trials"] == 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training": {"precision": "fp16"}}, "precision: 'fp16'"),
        ({"training": {"accumulate": 0}}, "accumulate: 0"),
        ({"training": {"device": "gpu"}}, "device: 'gpu'"),
        ({"training": {"device": "cuda"}}, "task 'digits' runs on the CPU"),
        ({"task": "ackley", "training": {"accumulate": 2}}, "accumulate.*does not train by epochs"),
        (
            {"task": "cora", "training": {"device": "cpu"}, "task_options": {"device": "cpu"}},
            "device: also set in .task.",
        ),
        ({"pruning": {"kind": "median", "reduction": 3}}, "'median' does not accept reduction"),
        ({"pruning": {"kind": "best"}}, "kind: 'best'"),
        ({"protocol": "paper", "pruning": {"kind": "median"}}, "the paper ran every trial"),
        ({"task": "ackley", "pruning": {"kind": "hyperband"}}, "no epochs to prune after"),
        ({"pruning": {"kind": "hyperband", "least_epochs": 11}}, "least_epochs = 11.*10 epochs"),
    ],
)
def test_unsupported_combinations_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        study(**changes)


def test_starts_of_means() -> None:
    assert Averaging(kind="swa", start=161).starts(300) == (161,)
    assert Averaging(kind="swa", start=(200, 161)).starts(300) == (161, 200)
    # Half of 100 epochs: the last 50.
    half = Averaging(kind="post_hoc").starts(100)
    assert (half[0], half[-1], len(half)) == (51, 100, 50)
    assert Averaging(kind="post_hoc").starts(1) == (1,)
    # The paper: k = 1 to 49 of 100 epochs, and all ten of ImageNet.
    assert len(Averaging(kind="post_hoc", start=52).starts(100)) == 49
    assert Averaging(kind="post_hoc", start=1).starts(10) == tuple(range(1, 11))


@pytest.mark.parametrize(
    ("protocol", "kind", "statistics"),
    [
        ("paper", "post_hoc", "average"),
        ("paper", "swa", "renew"),
        ("clean", "post_hoc", "renew"),
        ("clean", "swa", "renew"),
    ],
)
def test_statistics_are_decided_by_protocol(protocol: str, kind: str, statistics: str) -> None:
    averaging: dict[str, Any] = {"kind": kind, "start": 5}
    spec = study(protocol=protocol, training={"averaging": averaging})
    found = spec.training_for("sgd").averaging
    assert found is not None
    assert found.statistics == statistics
    averaging["statistics"] = "average"
    told = study(protocol=protocol, training={"averaging": averaging}).training_for("sgd")
    assert told.averaging is not None
    assert told.averaging.statistics == "average"
    assert spec.steps(Stage.CONFIRM) == 10
