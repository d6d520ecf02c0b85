"""The groups of a network's parameters that a study may treat differently."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

__all__ = ["group_parameters"]


def group_parameters(
    parameters: Sequence[Tensor], embeddings: Sequence[Tensor] = ()
) -> dict[str, list[Tensor]]:
    """Group parameters by their kind.

    Args:
        parameters: Those of a network.
        embeddings: Which of them are tables of which a batch uses some rows: of words or
            characters, and not of positions, of which it uses all.

    Returns:
        Those of ``embeddings``, ``matrices`` (all else of two dimensions or more) and ``vectors``
        (biases, norms) that are not empty, each in the order of ``parameters``.
    """
    groups: dict[str, list[Tensor]] = {"embeddings": [], "matrices": [], "vectors": []}
    for p in parameters:
        table = any(p is other for other in embeddings)
        groups["embeddings" if table else "matrices" if p.dim() > 1 else "vectors"].append(p)
    return {name: group for name, group in groups.items() if group}
