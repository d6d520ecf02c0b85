"""Trials of tasks that keep their own training loop."""
