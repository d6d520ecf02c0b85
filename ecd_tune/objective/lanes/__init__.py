"""Trials that learn, many at once: one lane each."""
