"""Node classification on graphs with the paper's GraphSAGE network (§4.3, B.4)."""

from __future__ import annotations

from ecd_tune.tasks.graphs.definitions import GRAPH_DEFS

__all__ = ["GRAPH_DEFS"]
