"""Research on the theory: exact systems, the paper's claims, searches whose law is known.

No study needs it: :mod:`ecd_tune.analysis` evaluates stored trials.
"""

from ecd_tune.lab.bench import Bench
from ecd_tune.lab.run import run_systems, system_checks

__all__ = ["Bench", "run_systems", "system_checks"]
