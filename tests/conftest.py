"""Settings of the whole test run."""

import os

from hypothesis import settings

# The same examples on every machine, so that a red run is a change's fault; the other profile
# looks for new ones: HYPOTHESIS_PROFILE=explore make test
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None, max_examples=500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))

# Set before torch is imported, and inherited by every command that a test starts. The threads of
# several processes on the same cores wait for one another while they spin: with two processes on
# two cores small networks take ten times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")
