"""Where checkpoints of unfinished runs are kept."""
