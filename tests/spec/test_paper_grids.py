"""The studies of the paper's experiments: grids, lengths, seeds; equal budgets of wide ones."""

import pytest

from ecd_tune.space import Zero
from ecd_tune.spec import find_study, load_study, shipped_studies
from ecd_tune.spec.files import read_table

GLUE = ("mnli", "qqp", "qnli", "sst2", "cola", "stsb", "mrpc", "rte")
IMAGES = ("cifar100", "tiny-imagenet", "imagenet1k")
GRAPHS = ("ogbn-arxiv", "ogbn-proteins")
OPTIMIZERS = ["ecdsep", "sgd", "adam", "adamw"]

# Points of each optimizer's grid, epochs and runs: §4.2 to §4.4 and B.2 to B.5 of the paper.
PAPER = {
    "cifar100": ((6, 12, 12, 12), 300, 4),
    "tiny-imagenet": ((6, 8, 8, 8), 100, 3),
    "imagenet1k": ((12, 12, 12, 12), 10, 2),
    "ogbn-arxiv": ((96, 96, 24, 24), 500, 10),
    "ogbn-proteins": ((96, 96, 24, 24), 1000, 5),
    **dict.fromkeys(GLUE, ((12, 16, 9, 9), 3, 3)),
}
OFF_GRID = {
    ("cifar100", "adam", "lr"),
    ("cifar100", "adamw", "lr"),
    ("imagenet1k", "sgd", "lr"),
    ("cola", "adam", "weight_decay"),
    ("mrpc", "ecdsep", "weight_decay"),
    ("rte", "ecdsep", "weight_decay"),
}
WIDE_OPTIMIZERS = ["ecdsep", "ecdq1", "sgd", "adam", "adamw"]
WIDE = {
    "cifar100": (24, (0.05, 2.0), (0.3, 5.0), (1e-3, 1.0), (1e-5, 1e-2)),
    "tiny-imagenet": (24, (0.05, 2.0), (0.3, 5.0), (1e-3, 1.0), (1e-5, 1e-2)),
    "imagenet1k": (24, (1e-2, 1.0), (0.03, 3.0), (1e-6, 1e-2), (1e-6, 1e-3)),
    "ogbn-arxiv": (96, (0.1, 3.0), (0.3, 5.0), (1e-3, 1.0), (1e-4, 1e-1)),
    "ogbn-proteins": (96, (0.1, 3.0), (0.3, 5.0), (1e-3, 1.0), (1e-4, 1e-1)),
    **dict.fromkeys(GLUE, (24, (1e-3, 1.0), (0.03, 3.0), (1e-6, 1e-1), (1e-6, 2e-4))),
}


def shipped(name, smoke=False):
    return load_study(find_study(name), smoke)


@pytest.mark.parametrize("task", PAPER)
def test_the_papers_grids_lengths_and_runs(task):
    sizes, epochs, runs = PAPER[task]
    spec = shipped(f"{task}-paper")
    variants = ["sgd_linear"] if task in GLUE else []
    assert list(spec.optimizers) == OPTIMIZERS + variants
    assert tuple(spec.trials(key) for key in OPTIMIZERS) == sizes
    assert (spec.budget.steps, spec.confirmation.runs) == (epochs, runs)
    assert (spec.protocol, spec.sampler.name) == ("paper", "grid")
    fixed = spec.optimizers["ecdsep"].space.dimensions
    names = ("F0", "delta_energy", "s", "conserve_energy")
    assert [fixed[name].value for name in names] == [0.0, 0.0, 1, True]


@pytest.mark.parametrize("task", PAPER)
def test_the_papers_best_values_run_too_on_its_grid_but_for_six(task):
    spec = shipped(f"{task}-paper")
    outside = set()
    for key in OPTIMIZERS:
        optimizer = spec.optimizers[key]
        (reference,) = optimizer.references
        assert reference.label == "paper"
        assert "mean" in reference.note
        dimensions = optimizer.space.dimensions
        assert set(optimizer.space.searched) <= set(reference.params)
        for name, value in reference.params.items():
            if not dimensions[name].contains(value):
                outside.add((task, key, name))
    assert outside == {entry for entry in OFF_GRID if entry[0] == task}


def test_averaging_schedules_and_evaluations_are_the_papers():
    starts = {
        "cifar100": ("swa", 161),
        "tiny-imagenet": ("post_hoc", 52),
        "imagenet1k": ("post_hoc", 1),
    }
    for task, (kind, start) in starts.items():
        averaging = shipped(f"{task}-paper").training_for("sgd").averaging
        assert (averaging.kind, averaging.start) == (kind, start)
    assert len(shipped("tiny-imagenet-paper").training.averaging.starts(100)) == 49
    assert shipped("imagenet1k-paper").training.averaging.starts(10) == tuple(range(1, 11))
    assert shipped("ogbn-proteins-paper").training.eval_every == 5
    for task in GLUE:
        spec = shipped(f"{task}-paper")
        names = [spec.training_for(key).schedule.name for key in OPTIMIZERS]
        assert names == ["constant", "constant", "linear", "linear"]
        # Text and code disagree on SGD's schedule: both run, on the same grid.
        text, code = spec.optimizers["sgd_linear"], spec.optimizers["sgd"]
        assert spec.training_for("sgd_linear").schedule.name == "linear"
        assert text.space.dimensions == code.space.dimensions
        assert spec.optimizers["adamw"].space.dimensions["eps"].value == 1e-6
        assert spec.optimizers["ecdsep"].space.dimensions["lr"].value == 0.04


@pytest.mark.parametrize("task", WIDE)
def test_wide_searches_give_equal_budgets(task):
    trials, *ranges = WIDE[task]
    spec = shipped(f"{task}-wide")
    assert spec.protocol == "clean"
    assert spec.budget.steps == PAPER[task][1]
    assert (spec.confirmation.runs, sorted(spec.optimizers)) == (10, sorted(WIDE_OPTIMIZERS))
    spaces = {key: optimizer.space for key, optimizer in spec.optimizers.items()}
    sizes = {key: len(space.searched) for key, space in spaces.items()}
    assert sizes == dict.fromkeys(WIDE_OPTIMIZERS, 7)
    assert {spec.trials(key) for key in WIDE_OPTIMIZERS} == {trials}
    for key, ends in zip(WIDE_OPTIMIZERS, [*ranges, ranges[-1]], strict=True):
        lr = spaces[key].dimensions["lr"]
        assert (lr.low, lr.high, lr.log) == (*ends, True)
    # What a tensor's step may be multiplied by, for all that it makes a difference to.
    for key in ("ecdsep", "ecdq1", "sgd"):
        assert spaces[key].dimensions["scale"].values == ("share", 1.0)
    low = 1e-7 if task in GLUE else 1e-6
    zeros = {key: space.dimensions["weight_decay"].zero for key, space in spaces.items()}
    ours = dict.fromkeys(("ecdsep", "ecdq1"), Zero(low))
    assert zeros == {**ours, "sgd": Zero(1e-6), "adam": Zero(1e-6), "adamw": Zero(1e-4)}


@pytest.mark.parametrize(
    ("name", "size"), [("sst2-tiny", 4), ("cora", 5), ("char-lm", 4), ("char-lm-long", 4)]
)
def test_small_studies_give_equal_budgets(name, size):
    spec = shipped(name)
    assert sorted(spec.optimizers) == sorted(WIDE_OPTIMIZERS)
    assert {len(o.space.searched) for o in spec.optimizers.values()} == {size}
    assert len({spec.trials(key) for key in spec.optimizers}) == 1
    for key in ("ecdsep", "ecdq1", "sgd"):
        assert any(n.partition(".")[0] == "scale" for n in spec.optimizers[key].space.searched)


def test_figure_2_varies_eta_only():
    spec = shipped("cifar100-eta")
    spaces = [optimizer.space.dimensions for optimizer in spec.optimizers.values()]
    assert [space["eta"].value for space in spaces] == [1.0, 1.5, 2.0, 2.5, 3.0, 4.0]
    rest = [{n: d.value for n, d in space.items() if n != "eta"} for space in spaces]
    assert all(values == rest[0] for values in rest)
    assert (rest[0]["lr"], rest[0]["nu"]) == (0.5, 1e-4)
    assert [spec.trials(key) for key in spec.optimizers] == [1] * 6
    assert (spec.training.averaging.kind, spec.training.averaging.start) == ("swa", 200)
    assert (spec.protocol, spec.budget.steps, spec.confirmation.runs) == ("paper", 300, 0)


@pytest.mark.parametrize(
    "name", [n for n, path in shipped_studies().items() if "smoke" in read_table(path)]
)
def test_smoke_forms_are_short_and_keep_what_they_try(name):
    real, smoke = shipped(name), shipped(name, smoke=True)
    assert smoke.smoke
    assert smoke.protocol == real.protocol
    assert list(smoke.optimizers) == list(real.optimizers)
    for key in real.optimizers:
        assert smoke.optimizers[key].space == real.optimizers[key].space
        assert smoke.trials(key) <= 3
    assert smoke.budget.steps <= 10
    # What stands in must be named; the smallest of the paper's data sets is not shipped.
    assert smoke.task != real.task


def test_every_study_of_the_papers_learning_tasks_is_there_and_has_a_smoke_form():
    tasks = (*IMAGES, *GRAPHS, *GLUE)
    names = {f"{task}-{form}" for task in tasks for form in ("paper", "wide")} | {"cifar100-eta"}
    assert names <= set(shipped_studies())
    for name in names:
        assert shipped(name, smoke=True).name == f"{name}-smoke"


def test_base_files_are_not_studies():
    assert not [name for name in shipped_studies() if name.startswith("_")]
