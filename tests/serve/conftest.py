from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest

from ecd_tune.serve.fast_reads import FastStorage
from ecd_tune.store import Store

optuna.logging.set_verbosity(optuna.logging.WARNING)

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def make_study(url: str, trials: int = 3) -> optuna.Study:
    study = optuna.create_study(study_name="small/ecdsep", storage=url)
    study.optimize(lambda trial: trial.suggest_float("lr", 0.1, 1.0), n_trials=trials)
    return study


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/study.db"


@pytest.fixture
def study(url: str) -> optuna.Study:
    return make_study(url)


@pytest.fixture(scope="module")
def shared_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database with a study and our tables, for the servers of a whole module."""
    url = f"sqlite:///{tmp_path_factory.mktemp('shared')}/study.db"
    Store.open(url).close()
    make_study(url, trials=20)
    return url


@pytest.fixture
def open_storage() -> Iterator[Callable[[str], FastStorage]]:
    opened: list[FastStorage] = []

    def open_one(url: str) -> FastStorage:
        opened.append(FastStorage(url))
        return opened[-1]

    yield open_one
    for storage in opened:
        storage.close()


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium on the PATH")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser):
    """Open pages in contexts of their own; they keep what goes wrong in ``page.errors``."""
    contexts = []

    def open_page(**options):
        context = browser.new_context(viewport={"width": 1280, "height": 800}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(100_000)
        page.errors = []
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture
def shoot():
    """Keep a picture where someone wants to look at it."""
    folder = os.environ.get("ECD_TUNE_SCREENSHOTS")

    def shoot(page, name: str) -> None:
        if folder:
            page.screenshot(path=f"{folder}/{name}.png")

    return shoot
