"""The wheel contains what an installed package needs."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_wheel_ships_studies_migrations_and_templates(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", tmp_path, ROOT],
        check=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for file in (ROOT / "studies").rglob("*.toml"):
        assert f"ecd_tune/studies/{file.relative_to(ROOT / 'studies')}" in names
    assert "ecd_tune/py.typed" in names
    assert "ecd_tune/store/db/migrations/script.py.mako" in names
    assert any(name.endswith("report.html.j2") for name in names)
    assert not any(name.startswith("tests/") for name in names)
