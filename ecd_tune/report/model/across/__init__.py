"""Several studies side by side, as data."""
