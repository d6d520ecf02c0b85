"""Make the GLUE tasks from a study file's options."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, partial
from pathlib import Path

from ecd_tune.errors import TaskError
from ecd_tune.records import Scalar
from ecd_tune.tasks._device import choose_device
from ecd_tune.tasks.base import Split
from ecd_tune.tasks.data import data_root, find_layout
from ecd_tune.tasks.definitions import check_options
from ecd_tune.tasks.glue.bert import TINY, TinySize, load_tokenizer
from ecd_tune.tasks.glue.definitions import GLUE_DEFS
from ecd_tune.tasks.glue.layouts import GLUE, layouts_of
from ecd_tune.tasks.glue.problem import Classification
from ecd_tune.tasks.glue.splits import split_official, split_single, thin
from ecd_tune.tasks.glue.tables import GlueTable, read_official, read_single
from ecd_tune.tasks.glue.tokens import Encoded, encode

__all__ = [
    "load_tables",
    "make_cola",
    "make_mnli",
    "make_mrpc",
    "make_qnli",
    "make_qqp",
    "make_rte",
    "make_sst2",
    "make_stsb",
    "make_wnli",
]

_LENGTHS = (8, 512)
_SPLITS: tuple[Split, ...] = ("train", "val", "test")


def load_tables(name: str, split_seed: int = 0) -> Mapping[str, GlueTable]:
    """Read and split a task's rows.

    Args:
        name: Registry name.
        split_seed: Seed of the split.

    Returns:
        ``train``, ``val`` and ``test``.
    """
    task = GLUE[name]
    layout, root = find_layout(name, layouts_of(task))
    folder = root / "glue" / task.title
    if layout.name == "single":
        return split_single(read_single(task, folder), split_seed)
    return split_official(*read_official(task, folder), split_seed)


@lru_cache(maxsize=4)
def _encode(
    name: str, root: Path | None, split_seed: int, subset: float, model: str, max_length: int
) -> dict[Split, Encoded]:
    # The root is in the key because the data are looked up under it in each call.
    tables = dict(load_tables(name, split_seed))
    tables["train"] = thin(tables["train"], subset, split_seed)
    tokenizer = load_tokenizer(model, max_length)
    return {split: encode(tokenizer, tables[split]) for split in _SPLITS}


def _make(name: str, **options: Scalar) -> Classification:
    chosen = check_options(GLUE_DEFS[name], options)
    model = str(chosen["model"])
    length = int(chosen["max_length"]) or (64 if model == TINY else _LENGTHS[1])
    if not _LENGTHS[0] <= length <= _LENGTHS[1]:
        raise TaskError(f"{name}: max_length = {length} must be 0, or {_LENGTHS[0]} to 512")
    size = TinySize(int(chosen["width"]), int(chosen["layers"]))
    if size.width % 2:
        raise TaskError(f"{name}: width = {size.width} must be even, for 2 heads")
    if model != TINY and size != TinySize():
        raise TaskError(f"{name}: width and layers are for model = {TINY!r}, not {model!r}")
    split_seed, subset = int(chosen["split_seed"]), float(chosen["subset"])
    return Classification(
        name=name,
        parts=_encode(name, data_root(), split_seed, subset, model, length),
        model=model,
        outputs=GLUE[name].outputs,
        metric=GLUE[name].metric,
        batch_size=int(chosen["batch_size"]),
        device=choose_device(str(chosen["device"])),
        thinned=subset != 1.0,
        size=size,
    )


make_cola = partial(_make, "glue_cola")
make_sst2 = partial(_make, "glue_sst2")
make_mrpc = partial(_make, "glue_mrpc")
make_stsb = partial(_make, "glue_stsb")
make_rte = partial(_make, "glue_rte")
make_wnli = partial(_make, "glue_wnli")
make_qnli = partial(_make, "glue_qnli")
make_qqp = partial(_make, "glue_qqp")
make_mnli = partial(_make, "glue_mnli")
