"""The figures of docs/theory.md are up to date with docs/figures.py."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from ecd_tune.report.render.figures.parts.drawn import to_svg
from ecd_tune.report.render.figures.parts.style import drawing
from tests.pages import ROOT

FOLDER = ROOT / "docs" / "figures"
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
SIMULATED = {"law"}
"""Chains are chaotic: another processor's rounding gives other states, of the same law."""


@pytest.fixture(scope="module")
def figures() -> ModuleType:
    spec = importlib.util.spec_from_file_location("theory_figures", ROOT / "docs" / "figures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def draw(figures: ModuleType, name: str) -> str:
    with drawing():
        return str(to_svg(figures.FIGURES[name]()))


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.svg")))
def test_a_figure_is_up_to_date(figures: ModuleType, name: str) -> None:
    kept, drawn = (FOLDER / f"{name}.svg").read_text(encoding="utf-8"), draw(figures, name)
    labels = [re.findall(r"<text[^>]*>([^<]*)<", text) for text in (kept, drawn)]
    assert labels[0] == labels[1]
    if name not in SIMULATED:
        numbers = [[float(n) for n in NUMBER.findall(text)] for text in (kept, drawn)]
        assert numbers[0] == pytest.approx(numbers[1], abs=0.02)  # of a point


def test_every_figure_is_on_the_page(figures: ModuleType) -> None:
    page = Path(ROOT / "docs" / "theory.md").read_text(encoding="utf-8")
    shown = re.findall(r"\]\(figures/([\w-]+)\.svg\)", page)
    assert sorted(shown) == sorted(figures.FIGURES) == sorted(p.stem for p in FOLDER.glob("*.svg"))
