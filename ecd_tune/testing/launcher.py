"""Contract of launchers; subclass :class:`LauncherContract` and run it with pytest.

::

    class TestMine(LauncherContract):
        @pytest.fixture
        def make(self):
            return MyLauncher

Real workers run a small study on a database in a file, so that the machines of the engine must
share the folder of the test.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ecd_tune.launch import Launch, Launcher, WorkerState
from ecd_tune.records import TrialState
from ecd_tune.spec import StudySpec, load_study
from ecd_tune.store import Store

__all__ = ["LauncherContract", "launched", "wait_until", "write_digits_study"]

_STUDY = """
name = "launched"
[task]
name = "digits"
hidden = 8
batch_size = 128
[budget]
trials = {trials}
steps = {epochs}
[sampler]
name = "random"
[confirmation]
runs = 0
[checkpoints]
every = 0.5
[optimizers.sgd.space]
lr = {{ low = 0.01, high = 0.02 }}
"""
Make = Callable[[Launch], Launcher]
Plan = Callable[..., tuple[Launch, Path]]
_SECONDS = 400.0
_LONG = 10_000


def write_digits_study(folder: Path, trials: int, epochs: int) -> Path:
    """Write a study of a small network; 100 epochs take about half a second of one core.

    Args:
        folder: Target folder.
        trials: Budget.
        epochs: Length of a trial.

    Returns:
        The file.
    """
    path = folder / "launched.toml"
    path.write_text(_STUDY.format(trials=trials, epochs=epochs))
    return path


def wait_until(condition: Callable[[], bool], what: str, seconds: float = _SECONDS) -> None:
    """Wait for something that workers do; an ``AssertionError`` where it does not come.

    Args:
        condition: Polled five times a second.
        what: For the message.
        seconds: Time limit.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.2)


@contextmanager
def launched(
    make: Callable[[Launch], Launcher], launch: Launch, study: Path
) -> Iterator[tuple[Launcher, Store, StudySpec]]:
    """Create a study, submit its workers, and cancel them at the end.

    Args:
        make: Makes the launcher.
        launch: The launch.
        study: The study's file.

    Yields:
        Launcher, store and study.
    """
    spec = load_study(study)
    launcher = make(launch)
    with Store.open(launch.storage) as store:
        store.create(spec)
        launcher.submit()
        try:
            yield launcher, store, spec
        finally:
            launcher.cancel()


class LauncherContract:
    """Tests that every launcher passes; a subclass has a fixture ``make``, class or function."""

    @pytest.fixture
    def make(self) -> Make:
        """Override: return what makes the launcher of a launch."""
        raise NotImplementedError

    @pytest.fixture
    def plan(self, tmp_path: Path) -> Plan:
        """Return what plans a launch of a study with the trials and epochs given."""

        def plan(trials: int, epochs: int, workers: int = 2) -> tuple[Launch, Path]:
            study = write_digits_study(tmp_path, trials, epochs)
            storage = f"sqlite:///{tmp_path}/store.db"
            arguments = (str(study), "--checkpoints", str(tmp_path / "kept"))
            launch = Launch("launched", arguments, storage, tmp_path / "logs", workers=workers)
            return launch, study

        return plan

    def test_nothing_starts_before_submit(self, make: Make, plan: Plan) -> None:
        """Making a launcher, asking it and cancelling it start nothing."""
        launcher = make(plan(1, 1)[0])
        assert launcher.status() == []
        launcher.cancel()
        assert launcher.logs() == []

    def test_description_names_the_worker_and_hides_the_storage(
        self, make: Make, plan: Plan
    ) -> None:
        """No displayed text contains the password of the storage."""
        launch, _ = plan(1, 1)
        secret = Launch("launched", launch.arguments, "postgresql://me:secret@h/d", launch.logs)
        assert "secret" not in make(secret).describe()
        assert "secret" not in repr(secret)

    def test_study_completes_with_exactly_the_budget(self, make: Make, plan: Plan) -> None:
        """Two workers share a study; both end by themselves."""
        launch, study = plan(6, 20)
        with launched(make, launch, study) as (launcher, store, spec):
            wait_until(
                lambda: not any(view.state.alive for view in launcher.status()), "the workers' end"
            )
            records = store.trials(spec.key("sgd"))
            assert [record.state for record in records] == [TrialState.COMPLETE] * 6
            views = launcher.status()
            assert [view.index for view in views] == [0, 1]
            assert {view.state for view in views} == {WorkerState.ENDED}
            assert all("complete" in text for text in launcher.logs())

    def test_cancelled_workers_requeue_their_trials(self, make: Make, plan: Plan) -> None:
        """A running trial is not lost; cancelling twice has no further effect."""
        launch, study = plan(2, _LONG)
        with launched(make, launch, study) as (launcher, store, spec):
            wait_until(lambda: store.progress(spec.name)[0].running == 2, "two running trials")
            launcher.cancel()
            wait_until(
                lambda: not any(view.state.alive for view in launcher.status()), "the workers' end"
            )
            wait_until(lambda: store.progress(spec.name)[0].running == 0, "the trials' return")
            assert store.progress(spec.name)[0].waiting == 2
            before = launcher.status()
            launcher.cancel()
            assert launcher.status() == before
