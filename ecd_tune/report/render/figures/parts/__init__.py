"""Shared parts of figures: style, scales, files."""
