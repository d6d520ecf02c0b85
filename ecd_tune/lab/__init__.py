"""Research on the theory: exact systems, the paper's claims, searches whose law is known.

No study needs it: :mod:`ecd_tune.analysis` evaluates stored trials.
"""

from ecd_tune.lab.run import run_systems, system_checks
from ecd_tune.lab.simulator import Simulator

__all__ = ["Simulator", "run_systems", "system_checks"]
