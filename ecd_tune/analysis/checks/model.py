"""Relations and checks as plain objects.

A :class:`Relation` is a prediction with its source. A :class:`Check` measures it on data and
answers with :class:`Finding` s under a decision rule that is fixed beforehand. The data depend on
the check's subject: a :class:`~ecd_tune.lab.simulator.Simulator` that runs exact
systems, or the trials of a study.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from ecd_tune.registry import Hyperparameter

__all__ = ["Check", "CheckResult", "Finding", "Relation", "Subject", "Verdict", "combine"]


class Verdict(StrEnum):
    """Verdict of the data on a relation."""

    SUPPORTED = "supported"
    REFUTED = "refuted"
    INCONCLUSIVE = "inconclusive"


class Subject(StrEnum):
    """The kind of data of a check."""

    SYSTEMS = "systems"
    """A simulator that runs exact systems."""
    STUDY = "study"
    """The trials of a study, :class:`~ecd_tune.analysis.checks.StudyTrials`."""


@dataclass(frozen=True)
class Relation:
    """Something that the theory predicts.

    Attributes:
        statement: The prediction, in one line.
        source: Its source: an equation or section of the paper, or ``"theory: law"`` for a section
            of ``docs/theory.md``.
    """

    statement: str
    source: str


@dataclass(frozen=True)
class Finding:
    """One measured case.

    Attributes:
        case: The setting, for example ``"n=20 η=2 ν√n=1"``.
        statistic: The measured statistic, for example ``"1/mean x"``.
        predicted: Its predicted value.
        measured: Its measured value.
        low: Lower end of the 95 % interval; None where the rule has none.
        high: Upper end.
        verdict: By the check's rule.
        samples: Number of independent samples.
        note: Why it is inconclusive, or how many samples would decide; may be empty.
        sense: How the measured value relates to the predicted one: ``"="``, ``"≤"``, ``">"``.
        needed: Number of trials that would be needed to decide, where these did not and it is
            known.
        excluded: Of a study's check: trials that took no part, by why.
        advisory: Why the finding is shown but decides nothing; empty where it decides.
    """

    case: str
    statistic: str
    predicted: float
    measured: float
    low: float | None
    high: float | None
    verdict: Verdict
    samples: int
    note: str = ""
    sense: str = "="
    needed: int | None = None
    excluded: Mapping[str, int] = field(default_factory=dict)
    advisory: str = ""

    @property
    def prediction(self) -> str:
        """The prediction in print, such as ``"0.5"`` or ``"≤ 1"``."""
        return f"{'' if self.sense == '=' else self.sense + ' '}{self.predicted:.5g}"

    @property
    def measurement(self) -> str:
        """The measurement as text; a dash if there is none."""
        return "–" if math.isnan(self.measured) else f"{self.measured:.5g}"

    @property
    def interval(self) -> str:
        """The interval in print, or nothing."""
        ends = self.low, self.high
        return "" if None in ends else f"[{self.low:.5g}, {self.high:.5g}]"

    @property
    def left_out(self) -> str:
        """The trials that took no part, in print, or nothing."""
        return ", ".join(f"{count} {reason}" for reason, count in self.excluded.items())

    def to_json(self) -> dict[str, Any]:
        """Return the finding in plain values; numbers that JSON lacks are words."""
        return {
            key: str(value) if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in asdict(self).items()
        }


@dataclass(frozen=True)
class Check:
    """A relation, the data that test it, and the rule that decides.

    Attributes:
        id: Short name, for example ``"C04"``.
        relation: The tested relation.
        rule: The decision rule and its tolerance, in words.
        measure: From the data of ``subject`` to findings; every one is a case that must hold.
        subject: The kind of data.
        expects: The verdict for a working system; ``REFUTED`` for a negative control.
        family: Checks of one family share measurements and run in one process.
        seconds: About how long the whole family takes, to spread families over processes.
        needs: For a study's check: hyperparameters that an optimizer must have.
        measured: Of a study's check: it reads what runs measure, so they have to be measured.
        several: Of a study's check: it compares the study with others.
        options: For a study's check: its options in a study file.
    """

    id: str
    relation: Relation
    rule: str
    measure: Callable[[Any], Sequence[Finding]]
    subject: Subject = Subject.SYSTEMS
    expects: Verdict = Verdict.SUPPORTED
    family: str = ""
    seconds: float = 1.0
    needs: tuple[str, ...] = ()
    measured: bool = False
    several: bool = False
    options: Mapping[str, Hyperparameter] = field(default_factory=dict)

    @property
    def is_for_studies(self) -> bool:
        """Whether its data are the trials of a study."""
        return self.subject is Subject.STUDY

    def run(self, data: Any) -> CheckResult:
        """Measure and decide.

        Args:
            data: Data of the kind ``subject``.

        Returns:
            The result.
        """
        findings = tuple(self.measure(data))
        return CheckResult(self.id, self.relation, self.rule, self.expects, findings)


@dataclass(frozen=True)
class CheckResult:
    """Result of a check.

    Attributes:
        id: The check's.
        relation: The check's.
        rule: The check's.
        expects: The check's.
        findings: One a case.
    """

    id: str
    relation: Relation
    rule: str
    expects: Verdict
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Verdict:
        """The verdict on the relation, from those of its cases."""
        return combine([finding.verdict for finding in self.findings])

    @property
    def as_expected(self) -> bool:
        """Whether a working system would give this verdict."""
        return self.verdict is self.expects

    @property
    def advisory(self) -> str:
        """Why the verdict is shown but decides nothing; empty where it decides."""
        return next((finding.advisory for finding in self.findings if finding.advisory), "")

    def to_json(self) -> dict[str, Any]:
        """Return the result in plain values."""
        fields = asdict(self) | {"verdict": self.verdict, "as_expected": self.as_expected}
        return fields | {"findings": [finding.to_json() for finding in self.findings]}


def combine(verdicts: Sequence[Verdict]) -> Verdict:
    """Return one verdict for all cases: one refuted refutes, all supported support.

    Args:
        verdicts: Those of the cases; none at all is inconclusive.

    Returns:
        The verdict.
    """
    if Verdict.REFUTED in verdicts:
        return Verdict.REFUTED
    if verdicts and all(verdict is Verdict.SUPPORTED for verdict in verdicts):
        return Verdict.SUPPORTED
    return Verdict.INCONCLUSIVE
