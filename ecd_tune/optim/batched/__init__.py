"""Batched optimizers: B trials, one per row."""
