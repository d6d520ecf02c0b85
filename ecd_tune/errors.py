"""Every error that a user of ecd_tune can cause or meet.

::

    EcdTuneError                      base class of all errors
    ├── UnknownNameError              no task, optimizer, sampler or study of that name
    ├── PluginError                   a package that offers a task or the like cannot be imported
    ├── SpecError                     a study file is not valid
    ├── SpaceError                    a search space or a point in it is not valid
    ├── HyperparameterError           an optimizer was given a value that it does not allow
    ├── NonFiniteLossError            a loss at ``step`` was NaN or infinite
    ├── TheoryError                   a formula was asked outside the range where it holds
    ├── TaskError                     a task was given an option or data that it cannot use
    ├── RepeatedFailureError         trials fail one after the other for the same reason
    ├── NoResultError                 a study or an optimizer of it has no value at all
    ├── CheckpointError               checkpoints cannot be kept where asked
    ├── LaunchError                   workers cannot be started as asked on this machine
    ├── DashboardError                the dashboard would be unsafe, or cannot be served
    ├── ReportError                   the files of a report cannot be written
    └── StoreError                    the shared database
        ├── StorageUrlError           the URL is not one that the store understands
        ├── StorageUnavailableError   no connection, or lost for too long
        │   └── StorageReplacedError  the SQLite file is not the one that was opened
        ├── StudyNotFoundError        no such study in this database
        └── FingerprintMismatchError  the stored study was made from another study file

Each message gives the problem, its place, what is allowed and what to do next.
Divergence and pruning of a trial are values (:class:`ecd_tune.records.Outcome`), not errors.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "CheckpointError",
    "DashboardError",
    "EcdTuneError",
    "FingerprintMismatchError",
    "HyperparameterError",
    "LaunchError",
    "NoResultError",
    "NonFiniteLossError",
    "RepeatedFailureError",
    "PluginError",
    "ReportError",
    "SpaceError",
    "SpecError",
    "StorageReplacedError",
    "StorageUnavailableError",
    "StorageUrlError",
    "StoreError",
    "StudyNotFoundError",
    "TaskError",
    "TheoryError",
    "UnknownNameError",
    "did_you_mean",
    "hint",
]


class EcdTuneError(Exception):
    """Base of every error that ecd_tune raises on purpose."""


class PluginError(EcdTuneError):
    """A package that registered a task, an optimizer or a check fails when it is imported."""


_FEW = 15
_LISTS = {
    "study": "`ecd-tune studies` lists them",
    "task": "`ecd-tune tasks` lists them",
    "data set": "`ecd-tune data` lists them",
    "stored study": "`ecd-tune status` lists them",
}


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a question with the closest known name; empty if none is close.

    Args:
        name: The given name.
        known: The names that exist.

    Returns:
        For example ``"; did you mean 'adam'?"``.
    """
    close = get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def hint(name: str, known: Iterable[str], kind: str = "") -> str:
    """Return the hint of an error about an unknown name: the closest name and the known ones.

    Args:
        name: The given name.
        known: The names that exist, in the order in which they are listed.
        kind: What they name; determines where to find a long list of names.

    Returns:
        For example ``"; did you mean 'adam'? Known: adam, adamw"``.
    """
    names = list(known)
    question = did_you_mean(name, names)
    if len(names) > _FEW and (question or kind in _LISTS):  # a long list hides the closest name
        there = f"{question} There are" if question else "; there are"
        return f"{there} {len(names)}; {_LISTS.get(kind, 'the documentation has all')}"
    return f"{f'{question} Known' if question else '; known'}: {', '.join(names) or 'none'}"


class UnknownNameError(EcdTuneError, KeyError):
    """A name is not registered.

    Args:
        kind: Kind of name, for example ``"optimizer"``.
        name: The name that was given.
        known: The names that exist.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        super().__init__(f"unknown {kind} {name!r}{hint(name, names, kind)}")
        self.kind, self.name, self.known = kind, name, names

    def __str__(self) -> str:
        # KeyError would show the repr of the message.
        return str(self.args[0])


class SpecError(EcdTuneError, ValueError):
    """A study file is not valid; the message names file, key and what was expected."""


class SpaceError(EcdTuneError, ValueError):
    """A search space, or a point in it, is not valid."""


class HyperparameterError(EcdTuneError, ValueError):
    """An optimizer was given a hyperparameter outside what it allows."""


class NonFiniteLossError(EcdTuneError, ArithmeticError):
    """A loss passed to ``step`` was NaN or infinite."""


class TheoryError(EcdTuneError, ValueError):
    """A formula of the theory was asked for numbers that break one of its assumptions."""


class TaskError(EcdTuneError, ValueError):
    """A task was given an option it does not know, or lacks its data."""


class DashboardError(EcdTuneError, ValueError):
    """The dashboard was asked to serve in a way that is not safe, or cannot be served."""


class ReportError(EcdTuneError, OSError):
    """The files of a report cannot be written."""


class RepeatedFailureError(EcdTuneError, RuntimeError):
    """A worker stopped: its trials failed one after the other for the same reason."""


class NoResultError(EcdTuneError, LookupError):
    """No trial of a search ended with a value."""


class CheckpointError(EcdTuneError):
    """The checkpoint storage of a study file or command line cannot be used."""


class LaunchError(EcdTuneError, ValueError):
    """Workers cannot be started as asked: the machine lacks the GPUs or cores."""


class StoreError(EcdTuneError):
    """Base of the errors of the shared database."""


class StorageUrlError(StoreError, ValueError):
    """The storage URL is not one that the store understands."""


class StorageUnavailableError(StoreError):
    """The database could not be reached, or stopped answering."""


class StorageReplacedError(StorageUnavailableError):
    """The file of an SQLite database was removed, moved or replaced while it was in use."""


class StudyNotFoundError(StoreError, LookupError):
    """The database has no study of that name."""


class FingerprintMismatchError(StoreError):
    """The stored study was created from a different study file."""
