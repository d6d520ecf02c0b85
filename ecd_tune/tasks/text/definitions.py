"""The text task by name; imports no torch."""

from __future__ import annotations

from ecd_tune.records import Direction
from ecd_tune.registry import Option, TaskDef

__all__ = ["TEXT_DEFS"]

_CHAR_LM = TaskDef(
    name="char_lm",
    title="Character language model",
    factory="ecd_tune.tasks.text.problem:make",
    metric="lowest validation loss over the epochs, nats per character",
    direction=Direction.MINIMIZE,
    budget_unit="epochs",
    options={
        "width": Option(int, 64, "width of the network, a multiple of heads", low=1),
        "layers": Option(int, 2, "number of layers", low=1),
        "heads": Option(int, 2, "attention heads per layer", low=1),
        "block": Option(int, 64, "characters per block: the length of the context", low=1),
        "batch_size": Option(int, 32, "blocks per step", low=1),
        "epoch_steps": Option(int, 100, "steps per epoch", low=1),
        "device": Option(str, "auto", "auto (a GPU if there is one), cpu, cuda or cuda:N"),
        "split_seed": Option(int, 0, "seed of the training/validation split and the order", low=0),
    },
    confirm_metric="test_loss",
    groups=("embeddings", "matrices", "vectors"),
    source="sentences of CoLA and SST-2, lower case, 54 characters",
)

TEXT_DEFS: dict[str, TaskDef] = {_CHAR_LM.name: _CHAR_LM}
"""The text task by registry name."""
