import subprocess
import sys

import pytest

import ecd_tune.analysis as analysis


def test_exports_are_complete():
    for name in analysis.__all__:
        assert getattr(analysis, name).__module__.startswith("ecd_tune.analysis.")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        analysis.nothing


def loaded(code, *names):
    """Return which of the modules a fresh interpreter has loaded after some code."""
    code += f"; import sys; print(*[name for name in {names} if name in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return out.stdout.split()


def test_picking_the_best_loads_no_scipy():
    assert loaded("from ecd_tune.analysis import best_trial", "scipy") == []


def test_checking_a_study_loads_neither_the_lab_nor_torch():
    code = "from ecd_tune.analysis.checks import CHECKS, check_study; CHECKS.get('S1')"
    assert loaded(code, "ecd_tune.lab", "torch", "scipy") == ["scipy"]
