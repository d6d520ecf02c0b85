"""GraphSAGE with mean aggregation (Hamilton et al. 2017), as the paper uses it.

A layer is W·mean(x of the neighbours) + b + R·x. Hidden layers go through batch normalisation
(optional), ReLU and dropout.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from torch.nn.functional import batch_norm, linear

from ecd_tune.tasks._device import CPU
from ecd_tune.tasks.graphs.graph import Sparse

__all__ = ["Sage", "SparseMatrix", "average_neighbours"]


class SparseMatrix:
    """A constant sparse matrix that a dense one can be multiplied by, and differentiated through.

    Args:
        matrix: SciPy CSR matrix, shape ``[N, M]``.
        device: Where it is needed.
    """

    def __init__(self, matrix: Sparse, device: torch.device = CPU) -> None:
        self.shape = matrix.shape
        self._matrix = _to_torch(matrix).to(device)
        self._transposed = _to_torch(matrix.T.tocsr()).to(device)

    def __matmul__(self, dense: Tensor) -> Tensor:
        # Sparse products have no half precision on every device.
        with torch.autocast(dense.device.type, enabled=False):
            product: Tensor = _Product.apply(  # type: ignore[no-untyped-call]
                dense.to(self._matrix.dtype), self._matrix, self._transposed
            )
        return product


class _Product(torch.autograd.Function):
    # Torch would transpose the matrix anew in each backward pass.
    @staticmethod
    def forward(ctx: Any, dense: Tensor, matrix: Tensor, transposed: Tensor) -> Tensor:
        ctx.transposed = transposed
        return matrix @ dense

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        with torch.autocast(gradients[0].device.type, enabled=False):
            return ctx.transposed @ gradients[0].contiguous(), None, None


def _to_torch(matrix: Sparse) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(
            torch.from_numpy(matrix.indptr.astype(np.int32)),
            torch.from_numpy(matrix.indices.astype(np.int32)),
            torch.from_numpy(matrix.data.astype(np.float32)),
            size=matrix.shape,
            check_invariants=True,
        )


def average_neighbours(adjacency: Sparse, device: torch.device = CPU) -> SparseMatrix:
    """Return the matrix that gives each node the mean over its neighbours.

    Args:
        adjacency: Shape ``[N, N]``, entries 1.
        device: Where it is needed.

    Returns:
        Rows that sum to 1; a node without neighbours has a row of zeros.
    """
    degrees = np.diff(adjacency.indptr)
    weights = np.repeat(1 / np.maximum(degrees, 1), degrees).astype(np.float32)
    parts = (weights, adjacency.indices, adjacency.indptr)
    return SparseMatrix(sparse.csr_array(parts, shape=adjacency.shape), device)


@dataclass
class _Norm:
    weight: Tensor
    bias: Tensor
    mean: Tensor
    variance: Tensor

    def __call__(self, x: Tensor, training: bool, momentum: float) -> Tensor:
        return batch_norm(x, self.mean, self.variance, self.weight, self.bias, training, momentum)


@dataclass
class _Layer:
    neighbour: Tensor
    bias: Tensor
    root: Tensor
    norm: _Norm | None = None

    def __call__(self, x: Tensor | SparseMatrix, mean: SparseMatrix) -> Tensor:
        width_out, width_in = self.neighbour.shape
        if isinstance(x, Tensor) and width_in <= width_out:
            return linear(mean @ x, self.neighbour, self.bias) + linear(x, self.root)
        # The mean is linear: taken after the weights where that side is the narrower one.
        return mean @ (x @ self.neighbour.T) + self.bias + x @ self.root.T


@dataclass
class Sage:
    """The network.

    Attributes:
        widths: From input to output, for example ``(128, 256, 256, 40)``.
        normalise: Batch normalisation after each hidden layer.
        dropout: Probability that an entry of a hidden layer is set to 0 in training.
        generator: Draws the initial weights, U(±1/√fan_in) as torch does; on the CPU, so that
            they are the same on every device.
        device: Where the network lies.
    """

    widths: tuple[int, ...]
    normalise: bool
    dropout: float
    generator: torch.Generator
    device: torch.device = CPU
    layers: list[_Layer] = field(init=False)

    def __post_init__(self) -> None:
        last = len(self.widths) - 2
        self.layers = [self._make_layer(i, self.normalise and i < last) for i in range(last + 1)]

    @property
    def parameters(self) -> list[Tensor]:
        """Everything that is trained, layer by layer."""
        found = []
        for layer in self.layers:
            found += [layer.neighbour, layer.bias, layer.root]
            if layer.norm is not None:
                found += [layer.norm.weight, layer.norm.bias]
        return found

    @property
    def statistics(self) -> list[Tensor]:
        """Running means and variances, which training changes and no optimizer does."""
        norms = [layer.norm for layer in self.layers if layer.norm is not None]
        return [tensor for norm in norms for tensor in (norm.mean, norm.variance)]

    def __call__(
        self,
        x: Tensor | SparseMatrix,
        mean: SparseMatrix,
        noise: torch.Generator | None = None,
        momentum: float = 0.1,
    ) -> Tensor:
        """Compute the outputs of all nodes.

        Args:
            x: Features, shape ``[N, widths[0]]``.
            mean: See :func:`average_neighbours`.
            noise: Draws the dropout, on ``device``; given in training only. With it batch
                statistics are used and remembered, without it the running ones are used.
            momentum: Weight of the batch statistics in the running ones.

        Returns:
            Shape ``[N, widths[-1]]``.
        """
        for layer in self.layers[:-1]:
            hidden = layer(x, mean)
            if layer.norm is not None:
                hidden = layer.norm(hidden, noise is not None, momentum)
            x = hidden.relu()
            if noise is not None and self.dropout > 0:
                keep = 1 - self.dropout
                x = x * torch.empty_like(x).bernoulli_(keep, generator=noise) / keep
        return self.layers[-1](x, mean)

    def _make_layer(self, index: int, normalise: bool) -> _Layer:
        width_in, width_out = self.widths[index : index + 2]
        bound = width_in**-0.5
        shapes = ((width_out, width_in), (width_out,), (width_out, width_in))
        neighbour, bias, root = (
            torch.empty(shape)
            .uniform_(-bound, bound, generator=self.generator)
            .to(self.device)
            .requires_grad_()
            for shape in shapes
        )
        norm = _make_norm(width_out, self.device) if normalise else None
        return _Layer(neighbour, bias, root, norm)


def _make_norm(width: int, device: torch.device) -> _Norm:
    weight, variance = (torch.ones(width, device=device) for _ in range(2))
    bias, mean = (torch.zeros(width, device=device) for _ in range(2))
    return _Norm(weight.requires_grad_(), bias.requires_grad_(), mean, variance)
