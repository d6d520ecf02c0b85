"""What each step shows: diagnostics, measurements of a run, remarks on it."""
