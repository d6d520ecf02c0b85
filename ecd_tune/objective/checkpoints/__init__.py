"""Runs that are saved and continued."""
