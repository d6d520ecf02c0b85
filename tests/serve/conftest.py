from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest

from ecd_tune.serve.fast_reads import FastStorage, open_fast_storage

optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/study.db"


@pytest.fixture
def study(url: str) -> optuna.Study:
    study = optuna.create_study(study_name="small/ecdsep", storage=url)
    study.optimize(lambda trial: trial.suggest_float("lr", 0.1, 1.0), n_trials=3)
    return study


@pytest.fixture
def open_storage() -> Iterator[Callable[[str], FastStorage]]:
    opened: list[FastStorage] = []

    def open_one(url: str) -> FastStorage:
        opened.append(open_fast_storage(url))
        return opened[-1]

    yield open_one
    for storage in opened:
        storage.close()
