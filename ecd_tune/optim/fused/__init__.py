"""One step in one pass over momentum and gradient and one over all: see ``README.md``."""
