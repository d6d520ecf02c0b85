"""Weights from files, and refused files."""

import json
import os
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from ecd_tune.errors import TaskError
from ecd_tune.tasks.images._weights import load_weights, read_torchvision, read_weights
from ecd_tune.tasks.images.models import CifarResNet

TENSORS = {"a.weight": torch.arange(6.0).view(2, 3), "a.count": torch.tensor([7])}


def save_safetensors(path):
    header, body = {"__metadata__": {"format": "pt"}}, b""
    for name, tensor in TENSORS.items():
        data = tensor.numpy().tobytes()
        kind = "F32" if tensor.is_floating_point() else "I64"
        span = [len(body), len(body) + len(data)]
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": span}
        body += data
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)


SAVE = {
    "w.npz": lambda path: np.savez(path, **{k: v.numpy() for k, v in TENSORS.items()}),
    "w.safetensors": save_safetensors,
    "w.pth": lambda path: torch.save(TENSORS, path),
    "w.pt": lambda path: torch.save(
        {"state_dict": {f"module.{k}": v for k, v in TENSORS.items()}, "epoch": 3}, path
    ),
}


@pytest.mark.parametrize("name", SAVE)
def test_every_format_gives_the_tensors(tmp_path, name):
    SAVE[name](tmp_path / name)
    read = read_weights(tmp_path / name)
    assert read.keys() == TENSORS.keys()
    for key, tensor in TENSORS.items():
        assert read[key].dtype == tensor.dtype
        assert torch.equal(read[key], tensor)


class Evil:
    def __reduce__(self):
        return (os._exit, (3,))


def test_files_that_would_run_code_are_refused(tmp_path):
    torch.save({"a": Evil()}, tmp_path / "w.pth")
    np.savez(tmp_path / "w.npz", a=np.array([Evil()], dtype=object))
    for name in ("w.pth", "w.npz"):
        with pytest.raises(TaskError, match="cannot be read as weights"):
            read_weights(tmp_path / name)


@pytest.mark.parametrize("name", ["w.npz", "w.safetensors", "w.pth"])
def test_damaged_files_are_refused(tmp_path, name):
    SAVE[name](tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    for damaged in (
        whole[: len(whole) // 2],
        b"",
        b"nothing of the kind",
        pickle.dumps([1], protocol=2),
    ):
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(TaskError, match="cannot be read as weights"):
            read_weights(tmp_path / name)


def test_weights_replace_all_but_a_head_for_other_classes():
    source, same, other = CifarResNet(10), CifarResNet(10), CifarResNet(7)
    head = other.linear.weight.clone()
    weights = {k: v for k, v in source.state_dict().items() if "num_batches" not in k}
    for network in (same, other):
        load_weights(network, weights, "here")
        assert torch.equal(network.layer3[1].conv2.weight, source.layer3[1].conv2.weight)
    assert torch.equal(same.linear.weight, source.linear.weight)
    assert torch.equal(other.linear.weight, head)


def test_weights_of_another_network_are_refused():
    with pytest.raises(TaskError, match="weights of here are not those of this network"):
        load_weights(CifarResNet(10), CifarResNet(10, 32).state_dict(), "here")
    with pytest.raises(TaskError, match=r"bias|weight"):
        load_weights(nn.Sequential(nn.Linear(3, 2)), {"0.weight": torch.ones(2, 3)}, "here")


def test_torchvision_is_asked_for_where_it_is_missing(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    with pytest.raises(TaskError, match="needs torchvision"):
        read_torchvision()
