"""Which share of random points of the default spaces trains, on digits: ``studies/_own.toml``.

    python -m benchmarks.default_spaces

Every optimizer draws the same number of random points, without its fixed first trials. A point
trains if its validation accuracy comes within a tenth of the best of all points of all optimizers.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch

import ecd_tune as et
from ecd_tune.spec import own_study

OPTIMIZERS = ("ecdsep", "ecdsep_f0", "ecdq1", "ecd_auto", "gdm", "sgd", "adam", "adamw")


def main() -> None:
    """Run the searches and print one line per optimizer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    tables = own_study("digits", OPTIMIZERS)["optimizers"]
    with tempfile.TemporaryDirectory() as folder:
        study = et.tune(
            "digits",
            {key: {"space": table["space"]} for key, table in tables.items()},
            trials=given.trials,
            epochs=given.epochs,
            seed=given.seed,
            confirm=0,
            selection=0,
            sampler="random",
            storage=f"sqlite:///{Path(folder) / 'a.db'}",
            check=False,
        )
        table = study.trials()
    best = table.value.max()
    print(
        f"torch {torch.__version__}, {given.trials} points, {given.epochs} epochs, best {best:.3f}"
    )
    for key in OPTIMIZERS:
        values = table[table.optimizer == key].value.fillna(0.0)
        near = int((values >= best - 0.1).sum())
        print(f"{key:12} {near:2} of {len(values)} train; median {values.median():.3f}")


if __name__ == "__main__":
    main()
