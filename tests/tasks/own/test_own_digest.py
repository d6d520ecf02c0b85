"""The digest of the data that a user task passes to ``run.data``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch.utils.data import Dataset, Subset, TensorDataset

from ecd_tune.records import Stage
from ecd_tune.tasks.own import digest as module
from ecd_tune.tasks.own.definition import task
from ecd_tune.tasks.own.digest import digest_examples
from ecd_tune.tasks.own.task import FunctionTask

VALUES = arrays.arrays(
    np.float32, arrays.array_shapes(max_dims=3), elements=st.floats(0, 1, width=32)
)


class Unreadable(Dataset[Any]):
    """A data set of which no example may be read."""

    def __init__(self, data: torch.Tensor, name: str) -> None:
        self.data, self.targets, self.root = data, [0, 1, 1], name

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Any:
        raise AssertionError("an example was read")


@given(values=VALUES, data=st.data())
def test_digest_depends_on_values_and_shapes(values: Any, data: Any) -> None:
    first = digest_examples({"train": values})
    assert digest_examples({"train": torch.from_numpy(values.copy())}) == first
    assert digest_examples({"val": values}) != first
    assert digest_examples({"train": values[None]}) != first
    assert digest_examples({"train": values.astype(np.float64)}) != first
    changed = values.copy()
    changed[data.draw(st.tuples(*(st.integers(0, n - 1) for n in values.shape)))] += 1.0
    assert digest_examples({"train": changed}) != first


def test_digest_of_a_data_set_ignores_its_folder() -> None:
    data = torch.arange(6.0)
    first = digest_examples({"train": Unreadable(data, "/here")})
    assert digest_examples({"train": Unreadable(data, "/there")}) == first
    assert digest_examples({"train": Unreadable(data + 1, "/here")}) != first
    halves = [Subset(Unreadable(data, ""), rows) for rows in ([0, 1], [1, 2])]
    assert len({digest_examples({"train": half}) for half in halves}) == 2
    tensors = TensorDataset(data), TensorDataset(data + 1)
    assert len({digest_examples({"train": one}) for one in tensors}) == 2


def test_large_tensors_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_BYTES", 16)
    values = torch.zeros(8)  # 32 bytes: every second example
    first = digest_examples({"train": values})
    changes = [digest_examples({"train": values + torch.eye(8)[row]}) != first for row in range(8)]
    assert changes == [True, False] * 4


class Endless(Dataset[Any]):
    """A data set that has no length, as torch's own say it."""

    def __len__(self) -> int:
        raise TypeError("of a stream")


class Hostile(Mapping[str, Any]):
    """Data that cannot be looked through."""

    def __getitem__(self, key: str) -> Any:
        raise OSError("gone")

    def __iter__(self) -> Iterator[str]:
        return iter("a")

    def __len__(self) -> int:
        return 1


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_any_data_have_a_digest(caplog: pytest.LogCaptureFixture) -> None:
    conjugate = torch.tensor([1 + 2j, 3j]).conj()
    first = digest_examples({"train": np.arange(3.0)})
    assert digest_examples({"train": np.arange(3.0).astype(">f8")}) == first
    assert digest_examples({"train": np.arange(2.0, -1, -1)[::-1]}) == first
    values = [
        *(np.arange(3, dtype=kind) for kind in (np.longdouble, np.clongdouble)),
        conjugate,
        conjugate.imag,
        torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
        torch.eye(3).to_sparse(),
        torch.ones(3, dtype=torch.bfloat16),
        np.array([1, "a", None], dtype=object),
        {"\udcff": 1},
        Endless(),
    ]
    assert all(len(digest_examples({"train": value})) == 16 for value in values)
    assert digest_examples({"train": conjugate}) == digest_examples({"train": conjugate.clone()})
    assert not caplog.records
    assert digest_examples({"train": Hostile()}) == ""
    assert "OSError: gone" in caplog.text


def test_digest_reads_a_bounded_amount(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_MOST_BYTES", 1 << 10)
    monkeypatch.setattr(module, "_MOST_ITEMS", 10)
    for data in (
        torch.zeros(1, 1 << 14),
        np.zeros((1, 1 << 14)),
        [torch.zeros(1 << 10)] * 100,
        {"a": [torch.zeros(1 << 10)] * 100, "b": torch.zeros(1 << 14)},
    ):
        read = sum(map(len, module._parts(data, 4, 1 << 10)))
        assert read < (1 << 10) + 12 * 30  # values, and what each is


def make_task(offset: float, loops: bool = False) -> FunctionTask:
    @task(metric="loss", direction="minimize", epochs=1)
    def one(run: Any) -> None:
        if loops:
            run.keep(torch.nn.Linear(1, 1))
        data = torch.ones(4, 1) + offset
        run.model(torch.nn.Linear(1, 1))
        run.data(train=data, val=data, test=torch.rand(4, 1), batch_size=2)
        run.loss(lambda model, x: model(x).square().mean())

    return FunctionTask(one, "cpu")


def test_task_returns_its_data_digest() -> None:
    first = make_task(0.0)
    expected = {"train": torch.ones(4, 1), "val": torch.ones(4, 1)}
    assert first.data_digest() == digest_examples(expected)
    first.build(3, Stage.CONFIRM)
    assert first.data_digest() == make_task(0.0).data_digest() != make_task(0.5).data_digest()
    assert make_task(0.0, loops=True).data_digest() == ""
