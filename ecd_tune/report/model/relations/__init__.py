"""What the checks of a study relate, as panels of points and predictions."""
