"""Contracts that anyone can run on their own task, optimizer, store or launcher.

Import the one you need, for example ``from ecd_tune.testing.contracts import TaskContract``, and
subclass it in a test file; pytest collects the inherited tests.
"""
