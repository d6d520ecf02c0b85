"""Relations of a study's checks, as panels of points and predictions."""
