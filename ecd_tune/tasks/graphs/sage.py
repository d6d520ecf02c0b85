"""GraphSAGE with mean aggregation (Hamilton et al. 2017), as the paper uses it.

A layer is W·mean(x of the neighbours) + b + R·x. Hidden layers go through batch normalisation
(optional), ReLU and dropout.
"""

from __future__ import annotations

import warnings
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.nn.functional import linear

from ecd_tune.tasks._device import CPU
from ecd_tune.tasks.graphs.graph import Sparse

__all__ = ["Sage", "SparseMatrix", "average_neighbours"]


class SparseMatrix:
    """A constant sparse matrix that a dense one can be multiplied by, and differentiated through.

    Many dense ones that ``torch.vmap`` maps are one product, their columns side by side.

    Args:
        matrix: SciPy CSR matrix, shape ``[N, M]``.
        device: Its device.
    """

    def __init__(self, matrix: Sparse, device: torch.device = CPU) -> None:
        self.shape = matrix.shape
        # Torch would transpose the matrix in each backward pass.
        self.either_way = tuple(_to_torch(m).to(device) for m in (matrix, matrix.T.tocsr()))

    def __matmul__(self, dense: Tensor) -> Tensor:
        # Sparse products have no half precision on every device.
        with torch.autocast(dense.device.type, enabled=False):
            product: Tensor = _Product.apply(  # type: ignore[no-untyped-call]
                dense.to(self.either_way[0].dtype), self, 0
            )
        return product


class _Product(torch.autograd.Function):
    """A sparse matrix, or with ``way = 1`` its transpose, times a dense one."""

    @staticmethod
    def forward(dense: Tensor, matrix: SparseMatrix, way: int) -> Tensor:
        return matrix.either_way[way] @ dense

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, SparseMatrix, int], output: Tensor) -> None:
        _, ctx.matrix, ctx.way = inputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        with torch.autocast(gradients[0].device.type, enabled=False):
            back = _Product.apply(gradients[0].contiguous(), ctx.matrix, 1 - ctx.way)  # type: ignore[no-untyped-call]
        return back, None, None

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int, None, None], dense: Tensor, matrix: SparseMatrix, way: int
    ) -> tuple[Tensor, int]:
        sides = dense.movedim(in_dims[0], 1)
        product: Tensor = _Product.apply(sides.flatten(1), matrix, way)  # type: ignore[no-untyped-call]
        return product.view(-1, *sides.shape[1:]), 1


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
        device: Its device.

    Returns:
        Rows that sum to 1; a node without neighbours has a row of zeros.
    """
    degrees = np.diff(adjacency.indptr)
    weights = np.repeat(1 / np.maximum(degrees, 1), degrees).astype(np.float32)
    parts = (weights, adjacency.indices, adjacency.indptr)
    return SparseMatrix(sparse.csr_array(parts, shape=adjacency.shape), device)


class _Layer(nn.Module):
    def __init__(self, fan_in: int, fan_out: int, normalise: bool, draw: torch.Generator) -> None:
        super().__init__()
        bound = fan_in**-0.5
        shapes = ((fan_out, fan_in), (fan_out,), (fan_out, fan_in))
        self.neighbour, self.bias, self.root = (
            nn.Parameter(torch.empty(shape).uniform_(-bound, bound, generator=draw))
            for shape in shapes
        )
        self.norm = nn.BatchNorm1d(fan_out) if normalise else None

    def forward(self, x: Tensor | SparseMatrix, mean: SparseMatrix) -> Tensor:
        width_out, width_in = self.neighbour.shape
        if isinstance(x, Tensor) and width_in <= width_out:
            out = linear(mean @ x, self.neighbour, self.bias) + linear(x, self.root)
        else:  # the mean is linear: computed after the weights if that side is narrower
            out = mean @ (x @ self.neighbour.T) + self.bias + x @ self.root.T
        return out if self.norm is None else self.norm(out)


class Sage(nn.Module):
    """The network.

    Args:
        widths: From input to output, for example ``(128, 256, 256, 40)``.
        normalise: Batch normalisation after each hidden layer.
        dropout: Probability that an entry of a hidden layer is set to 0 in training.
        generator: Draws the initial weights, U(±1/√fan_in) as torch does; on the CPU, so that
            they are the same on every device.
    """

    def __init__(
        self,
        widths: tuple[int, ...],
        normalise: bool,
        dropout: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        last = len(widths) - 2
        self.layers = nn.ModuleList(
            _Layer(fan_in, fan_out, normalise and number < last, generator)
            for number, (fan_in, fan_out) in enumerate(pairwise(widths))
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor | SparseMatrix, mean: SparseMatrix) -> Tensor:
        """Compute the outputs of all nodes.

        Args:
            x: Features, shape ``[N, widths[0]]``.
            mean: See :func:`average_neighbours`.

        Returns:
            Shape ``[N, widths[-1]]``.
        """
        *hidden, last = self.layers
        for layer in hidden:
            x = self.dropout(layer(x, mean).relu())
        outputs: Tensor = last(x, mean)
        return outputs
