"""GraphSAGE: size, mean, dropout, and available labels."""

import io
from typing import ClassVar

import numpy as np
import pytest
import torch
from scipy import sparse

from ecd_tune.errors import TaskError
from ecd_tune.records import Stage
from ecd_tune.registry import load_attribute
from ecd_tune.tasks import StatefulProblem
from ecd_tune.tasks.counter import CounterDropout
from ecd_tune.tasks.data import ROOT_VARIABLE, data_root
from ecd_tune.tasks.graphs.definitions import GRAPH_DEFS
from ecd_tune.tasks.graphs.graph import connect
from ecd_tune.tasks.graphs.problem import mean_roc_auc
from ecd_tune.tasks.graphs.sage import Sage, SparseMatrix, average_neighbours
from ecd_tune.tasks.seeds import stream
from ecd_tune.testing.stacking import StackableTaskContract

ROOT = data_root()
needs_data = pytest.mark.skipif(
    ROOT is None or not (ROOT / "graphs").is_dir(), reason=f"no graphs/ under {ROOT_VARIABLE}"
)


def make(name, **options):
    return load_attribute(GRAPH_DEFS[name].factory)(**options)


def count(widths, normalise):
    sage = Sage(widths, normalise, 0.5, stream(0, "init"))
    return sum(parameter.numel() for parameter in sage.parameters())


@needs_data
class TestCora(StackableTaskContract):
    definition = GRAPH_DEFS["cora"]
    options: ClassVar = {"hidden": 16}
    difference, tolerance = 1e-4, 1e-2


@needs_data
class TestTwitch(StackableTaskContract):
    definition = GRAPH_DEFS["twitch"]
    options: ClassVar = {"hidden": 8}
    difference, tolerance = 1e-3, 1e-2


# ---------------------------------------------------------------------------- network


def test_parameter_counts_are_the_papers():
    assert count((128, 256, 256, 40), True) == 218_664
    assert count((8, 256, 256, 112), False) == 193_136


@pytest.mark.parametrize("widths", [(3, 5), (5, 3)])
@pytest.mark.parametrize("as_sparse", [False, True])
def test_a_layer_is_the_formula(widths, as_sparse):
    adjacency = connect(np.array([[0, 1], [1, 2], [1, 3]]), 5)
    x = np.random.default_rng(0).random((5, widths[0])).astype(np.float32)
    sage = Sage(widths, False, 0.0, stream(0, "init"))
    weight, bias, root = (p.detach().numpy() for p in sage.parameters())
    neighbours = {0: [1], 1: [0, 2, 3], 2: [1], 3: [1], 4: []}
    means = [x[ends].mean(0) if ends else np.zeros(widths[0]) for ends in neighbours.values()]
    expected = np.array(means) @ weight.T + bias + x @ root.T
    given = SparseMatrix(sparse.csr_array(x)) if as_sparse else torch.from_numpy(x)
    found = sage(given, average_neighbours(adjacency)).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_sparse_product_has_the_right_gradient():
    dense = np.random.default_rng(0).random((4, 6)).astype(np.float32)
    matrix = SparseMatrix(sparse.csr_array(np.where(dense > 0.5, dense, 0)))
    x = torch.rand(6, 3, generator=stream(0, "x")).requires_grad_()
    target = torch.rand(4, 3, generator=stream(1, "x"))
    ((matrix @ x) * target).sum().backward()
    torch.testing.assert_close(x.grad, torch.from_numpy(np.where(dense > 0.5, dense, 0)).T @ target)


def test_dropout_sets_its_share_to_zero_and_keeps_the_mean():
    mean = average_neighbours(connect(np.array([[0, 1]]), 2))
    sage = Sage((1, 4000, 1), False, 0.25, stream(0, "init"))
    with torch.no_grad():
        weight, bias, root, *last = sage.parameters()
        weight.zero_(), bias.fill_(1), root.zero_()
        last[0].zero_(), last[1].zero_(), last[2].fill_(1 / 4000)
        with CounterDropout(torch.tensor(7)):
            out = sage(torch.zeros(2, 1), mean)
    assert out.flatten().tolist() == pytest.approx([1, 1], abs=0.04)
    assert out[0] != out[1]


def test_roc_auc_skips_labels_of_one_class():
    truth = torch.tensor([[0, 1, 1], [1, 1, 0], [0, 1, 1.0]])
    scores = torch.tensor([[0.1, 0.0, 1.0], [0.2, 5.0, 2.0], [0.3, 1.0, 3.0]])
    assert mean_roc_auc(truth, scores) == pytest.approx((0.5 + 0.5) / 2)
    assert np.isnan(mean_roc_auc(truth, scores * torch.nan))
    with pytest.raises(TaskError, match="no label"):
        mean_roc_auc(truth[:, 1:2], scores[:, 1:2])


# ----------------------------------------------------------------------------- problem


@needs_data
@pytest.mark.parametrize("split", ["public", "random"])
@pytest.mark.parametrize(("name", "train"), [("cora", 140), ("citeseer", 120)])
def test_splits_have_the_documented_sizes(name, train, split):
    parts = make(name, split=split).parts
    sizes = [len(parts[part].nodes) for part in ("train", "val", "test")]
    known = {"cora": 2708, "citeseer": 3312}[name]
    fifths = [round(known * share) for share in (0.6, 0.2, 0.2)]
    assert sizes == ([train, 500, 1000] if split == "public" else pytest.approx(fifths, abs=1))
    nodes = torch.cat([part.nodes for part in parts.values()])
    assert len(nodes) == len(nodes.unique())
    assert all((part.labels >= 0).all() for part in parts.values())


@needs_data
def test_split_seed_decides_the_random_split():
    first, again, other = (make("cora", split="random", split_seed=s) for s in (0, 0, 1))
    assert torch.equal(first.parts["test"].nodes, again.parts["test"].nodes)
    assert not torch.equal(first.parts["test"].nodes, other.parts["test"].nodes)


@needs_data
def test_search_does_not_see_test_labels():
    task = make("cora", hidden=8)
    spoilt = make("cora", hidden=8)
    spoilt.parts["test"].labels.fill_(0)
    a, b = (t.build(0, Stage.SEARCH) for t in (task, spoilt))
    assert torch.equal(a.closure(0), b.closure(0))
    assert a.evaluate("val") == b.evaluate("val")
    confirmed = [t.build(0, Stage.CONFIRM).evaluate("test") for t in (task, spoilt)]
    assert confirmed[0] != confirmed[1]


@needs_data
def test_training_learns():
    problem = make("cora", hidden=32).build(0, Stage.SEARCH)
    optimizer = torch.optim.Adam(problem.parameters, lr=5e-3)
    losses = []
    for step in range(15):
        losses.append(float(problem.closure(step)))
        optimizer.step()
    assert losses[-1] < 0.2 * losses[0]
    assert problem.evaluate("val")["accuracy"] > 0.6


def train(problem, optimizer, steps):
    for step in steps:
        problem.closure(step)
        optimizer.step()


@needs_data
def test_dropout_follows_the_step():
    problem = make("cora", hidden=8).build(0, Stage.SEARCH)
    first, second, again = (problem.closure(step) for step in (0, 1, 0))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


@needs_data
def test_resumed_run_is_equal():
    task = make("cora", hidden=16)
    whole, half, resumed = (task.build(5, Stage.SEARCH) for _ in range(3))
    adams = [torch.optim.Adam(p.parameters, lr=1e-2) for p in (whole, half, resumed)]
    train(whole, adams[0], range(6))
    train(half, adams[1], range(3))
    assert isinstance(half, StatefulProblem)
    file = io.BytesIO()
    parameters = [p.detach() for p in half.parameters]
    torch.save((parameters, adams[1].state_dict(), half.state_dict()), file)
    file.seek(0)
    parameters, state, extra = torch.load(file, weights_only=True)
    with torch.no_grad():
        for own, saved in zip(resumed.parameters, parameters, strict=True):
            own.copy_(saved)
    adams[2].load_state_dict(state)
    resumed.load_state_dict(extra)
    train(resumed, adams[2], range(3, 6))
    assert all(map(torch.equal, whole.parameters, resumed.parameters))
    assert whole.evaluate("val") == resumed.evaluate("val")


@needs_data
def test_renewed_statistics_are_those_of_the_present_parameters():
    moved, fresh = (make("cora", hidden=8).build(0, Stage.SEARCH) for _ in range(2))
    initial = [p.detach().clone() for p in moved.parameters]
    train(moved, torch.optim.Adam(moved.parameters, lr=0.1), range(5))
    with torch.no_grad():
        for own, value in zip(moved.parameters, initial, strict=True):
            own.copy_(value)
    assert moved.evaluate("val") != fresh.evaluate("val")
    for problem in (moved, fresh):
        problem.renew_statistics()
    assert moved.evaluate("val") == fresh.evaluate("val")
    # Without dropout in the way: what the first normalisation lets through has mean 0.
    first = fresh.network.layers[0]
    norm, first.norm = first.norm, None
    hidden = first(fresh._task.features, fresh._task.mean)
    torch.testing.assert_close(norm.running_mean, hidden.mean(0).detach())
    torch.testing.assert_close(norm.running_var, hidden.var(0).detach())


@needs_data
def test_state_of_another_shape_is_refused():
    small, large = (make("cora", hidden=h).build(0, Stage.SEARCH) for h in (4, 8))
    with pytest.raises(ValueError, match="saved"):
        small.load_state_dict(large.state_dict())


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU")


@needs_data
@pytest.mark.gpu
@needs_gpu
def test_a_gpu_computes_the_same_loss():
    losses = []
    for device in ("cpu", "cuda"):
        problem = make("cora", device=device, dropout=0.0).build(0, Stage.SEARCH)
        losses.append(float(problem.closure(0)))
        assert problem.parameters[0].grad.device.type == device
        assert problem.evaluate("val")["accuracy"] > 0
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


@needs_data
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_an_error():
    assert make("cora", device="auto").device.type == "cpu"
    with pytest.raises(TaskError, match="no GPU"):
        make("cora", device="cuda")


@needs_data
def test_dropout_below_one():
    with pytest.raises(TaskError, match="below 1"):
        make("cora", dropout=1.0)
