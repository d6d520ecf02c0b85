"""Run the command line with ``python -m ecd_tune``."""

from ecd_tune.cli.main import main

main()
