"""Checks of the theory on the trials of a study."""

from ecd_tune.analysis.checks.study.runs import Run, Sample, StudyTrials

__all__ = ["Run", "Sample", "StudyTrials"]
