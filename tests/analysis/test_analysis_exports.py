import subprocess
import sys

import pytest

import ecd_tune.analysis as analysis


def test_every_exported_name_exists_and_no_other():
    for name in analysis.__all__:
        assert getattr(analysis, name).__module__.startswith("ecd_tune.analysis.")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        analysis.nothing


def test_picking_the_best_loads_no_scipy():
    code = "import sys; from ecd_tune.analysis import best_trial; print('scipy' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
