"""Pretrained weights from files, none of which may run code."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from torch import Tensor, nn

from ecd_tune.errors import TaskError

__all__ = ["load_weights", "read_torchvision", "read_weights"]

_DAMAGE = (
    OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, UnpicklingError,
)  # fmt: skip
_KINDS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U8": "|u1"}


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read tensors by name.

    Args:
        path: ``.npz`` (arrays), ``.safetensors``, or ``.pth``/``.pt`` (a state dictionary).

    Returns:
        Name to tensor, without the prefix ``module.`` of a data-parallel network.

    Raises:
        TaskError: The file cannot be read, or contains more than tensors.
    """
    read = {".npz": _read_npz, ".safetensors": _read_safetensors}.get(path.suffix, _read_pth)
    try:
        tensors = read(path)
    except _DAMAGE as error:
        raise TaskError(f"{path} cannot be read as weights: {error}") from error
    return {name.removeprefix("module."): tensor for name, tensor in tensors.items()}


def read_torchvision() -> dict[str, Tensor]:
    """Return torchvision's ``IMAGENET1K_V1`` weights of ResNet-18, which it may download.

    Raises:
        TaskError: torchvision is not installed.
    """
    try:
        models = import_module("torchvision.models")
    except ImportError as error:
        raise TaskError(
            'weights = "torchvision" needs torchvision; install it, or name a file with the '
            "weights, such as resnet18-5c106cde.pth"
        ) from error
    network = models.resnet18(weights=models.ResNet18_Weights.IMAGENET1K_V1)
    return dict(network.state_dict())


def load_weights(network: nn.Module, weights: Mapping[str, Tensor], origin: str) -> None:
    """Write weights into a network; a head for other classes keeps its own initial values.

    Args:
        network: The network.
        weights: Name to tensor.
        origin: Where they come from, for the message.

    Raises:
        TaskError: Names or shapes do not fit.
    """
    own = network.state_dict()
    head = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)][-1]
    chosen = dict(weights)
    if f"{head}.weight" in chosen and chosen[f"{head}.weight"].shape[0] != len(own[f"{head}.bias"]):
        for name in (f"{head}.weight", f"{head}.bias"):
            chosen[name] = own[name]
    # Older files do not count batches; the counter plays no part with a fixed momentum.
    missing = {name for name in own if not name.endswith("num_batches_tracked")} - set(chosen)
    foreign = set(chosen) - set(own)
    shapes = {name for name in set(own) & set(chosen) if own[name].shape != chosen[name].shape}
    if wrong := sorted(missing | foreign | shapes):
        raise TaskError(
            f"the weights of {origin} are not those of this network: {len(wrong)} tensors are "
            f"missing, unknown or of another shape, the first is {wrong[0]}"
        )
    network.load_state_dict(chosen, strict=False)


def _read_npz(path: Path) -> dict[str, Tensor]:
    with path.open("rb") as file:
        arrays = np.load(file, allow_pickle=False)
        if not isinstance(arrays, np.lib.npyio.NpzFile):
            raise ValueError("it is a single array, not several named ones")
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    tensors = {}
    for name, about in json.loads(data[8:start]).items():
        if name != "__metadata__":
            begin, end = about["data_offsets"]
            values = np.frombuffer(data[start + begin : start + end], dtype=_KINDS[about["dtype"]])
            tensors[name] = torch.from_numpy(values.reshape(about["shape"]).copy())
    return tensors


def _read_pth(path: Path) -> dict[str, Tensor]:
    held = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(held, dict):
        held = held.get("state_dict", held)
    if not isinstance(held, dict) or not all(isinstance(v, Tensor) for v in held.values()):
        raise ValueError("it contains no state dictionary of tensors")
    return dict(held)
