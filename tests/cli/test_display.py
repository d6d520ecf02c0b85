from pathlib import Path
from types import SimpleNamespace

import pytest

from ecd_tune.cli.display import RateEstimator, make_display
from ecd_tune.launch import Placement, WorkerState, WorkerView
from ecd_tune.records import Direction, Stage
from ecd_tune.spec import StudySpec, find_study, load_study, parse_study
from ecd_tune.store import Progress


@pytest.fixture
def spec() -> StudySpec:
    return parse_study(
        {
            "name": "small",
            "task": {"name": "ackley"},
            "budget": {"trials": 20, "steps": 5},
            "confirmation": {"runs": 3},
            "optimizers": {
                "ecdsep": {
                    "space": {"lr": {"low": 0.1, "high": 1}, "eta": 1.0},
                    "references": [{"label": "paper", "params": {"lr": 0.4, "eta": 1.0}}],
                }
            },
        }
    )


def worker(state: WorkerState = WorkerState.RUNNING, **changes: object) -> WorkerView:
    values = {"index": 0, "pid": 7, "restarts": 0, "reason": "", "placement": Placement()}
    return WorkerView(state=state, log=Path("none.log"), **(values | changes))  # type: ignore[arg-type]


def progress(spec: StudySpec, search: int, confirm: int) -> list[Progress]:
    return [
        Progress(
            spec.key("ecdsep"),
            Direction.MINIMIZE,
            running=search < 20,
            complete=search,
            best=0.25,
            target=20,
        ),
        Progress(spec.key("ecdsep", Stage.CONFIRM), Direction.MINIMIZE, complete=confirm, target=6),
        Progress(spec.key("other"), Direction.MINIMIZE, complete=99, target=200),
    ]


def test_meter_counts_references_and_leaves_other_optimizers_out(spec: StudySpec) -> None:
    times = iter([100.0, 105.0, 110.0])
    meter = RateEstimator(spec, lambda: next(times))
    assert meter.total == 20 + 2 * 3
    meter.update(progress(spec, 6, 0))
    meter.update(progress(spec, 16, 0))
    # Six were there when the display began: they are done, but not work of this run.
    assert meter.describe([worker(), worker()]) == "16/26 trials, 2.0/s, about 5 s left, 2 workers"
    meter.update(progress(spec, 20, 6))
    assert meter.describe([]) == "26/26 trials, 2.0/s"


def test_meter_counts_failed_trials(spec: StudySpec) -> None:
    meter = RateEstimator(spec)
    failed = Progress(spec.key("ecdsep"), Direction.MINIMIZE, complete=3, failed=2, target=20)
    planned = Progress(spec.key("ecdsep", Stage.CONFIRM), Direction.MINIMIZE, target=6)
    other = Progress(spec.key("other"), Direction.MINIMIZE, failed=7)
    meter.update([failed, planned, other])
    assert meter.describe([]) == "5/26 trials (2 failed)"


def test_meter_does_not_wait_for_runs_that_never_come(spec: StudySpec) -> None:
    meter = RateEstimator(spec)
    search = Progress(spec.key("ecdsep"), Direction.MINIMIZE, pruned=20, target=20)
    confirm = Progress(spec.key("ecdsep", Stage.CONFIRM), Direction.MINIMIZE, complete=3, target=6)
    meter.update([search, confirm])  # the references' runs alone
    assert meter.describe([]) == "23/23 trials"
    # Of a result that was taken out three runs count beside those of the new best.
    meter.update(progress(spec, 20, 9))
    assert meter.describe([]).startswith("29/29 trials")


def test_plain_display_prints_lines(spec: StudySpec, capsys: pytest.CaptureFixture[str]) -> None:
    with make_display(spec, terminal=False) as display:
        display.update(progress(spec, 6, 0), [worker()])
        display.update(progress(spec, 7, 0), [worker()])  # too soon for a new line
        display.update(progress(spec, 20, 6), [])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["6/26", "26/26"]
    assert "best: ecdsep 0.25" in lines[0]


def test_plain_display_is_silent_while_nothing_changes(
    spec: StudySpec, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter([0.0, 6.0, 12.0, 61.0])
    monkeypatch.setattr("ecd_tune.cli.display.time", SimpleNamespace(monotonic=lambda: next(now)))
    with make_display(spec, terminal=False) as display:
        for done in (6, 6, 7, 7):  # at 0, 6, 12 and 61 seconds
            display.update(progress(spec, done, 0), [worker()])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["6/26", "7/26"]


def test_live_display_shows_both_stages(
    spec: StudySpec, capsys: pytest.CaptureFixture[str]
) -> None:
    with make_display(spec, terminal=True) as display:
        display.update(progress(spec, 20, 4), [worker(placement=Placement(("GPU-1",), (0, 1)))])
    shown = capsys.readouterr().out
    assert "20/20" in shown
    assert "4/6" in shown
    assert "GPU-1" in shown


def test_plain_display_says_once_that_a_worker_died(
    spec: StudySpec, capsys: pytest.CaptureFixture[str]
) -> None:
    dead = worker(WorkerState.WAITING, reason="killed by SIGKILL")
    with make_display(spec, terminal=False) as display:
        display.update(progress(spec, 6, 0), [dead])
        display.update(progress(spec, 6, 0), [dead])
    lines = capsys.readouterr().out.splitlines()
    assert lines.count("worker 0 killed by SIGKILL; restarts soon") == 1


@pytest.mark.parametrize("study", ["zakharov", "cifar100-paper", "cora", "char-lm"])
def test_numbers_fit_into_sixty_columns(
    study: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    spec = load_study(find_study(study))
    shown = [
        Progress(spec.key(key, stage), Direction.MINIMIZE, complete=500, pruned=123, best=-1.5e-40)
        for key in spec.optimizers
        for stage in Stage
    ]
    with make_display(spec, terminal=True) as display:
        display.update(shown, [])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 60
    for key in spec.optimizers:
        (line,) = [line for line in lines if line.split()[:1] == [key]]
        assert "-1.5e-40" in line
        assert "623/" in line
        assert "…" not in line
