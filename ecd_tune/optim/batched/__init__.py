"""Optimizers of B trials at once, one row each."""
