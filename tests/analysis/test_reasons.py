import pytest

from ecd_tune.analysis import group_reasons, normalise_reason
from ecd_tune.records import Stage, StudyKey, TrialRecord, TrialState


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("loss is nan at iteration 137", "loss is nan at iteration N"),
        ("loss 1.5e+38 at step 12, lr = -0.3", "loss N at step N, lr = N"),
        ("overflow in float32 of layer2.weight", "overflow in float32 of layer2.weight"),
        ("RuntimeError: bad\nTraceback 12", "RuntimeError: bad"),
        (
            "IndexError: 7 of 3 (my.py, line 12: y = x[:, 2])",
            "IndexError: N of N (my.py, line 12: y = x[:, 2])",
        ),
        ("", "no reason stored"),
        (None, "no reason stored"),
    ],
)
def test_numbers_make_no_difference(reason, text):
    assert normalise_reason(reason) == text


def ended(number, state, reason, stage=Stage.SEARCH, lost=False):
    key = StudyKey("s", "adam", stage)
    return TrialRecord(key, number, state, None, {}, reason=reason, lost=lost)


def test_groups_are_counted_with_their_first_trial():
    fail, pruned = TrialState.FAIL, TrialState.PRUNED
    groups = group_reasons(
        [
            ended(9, pruned, "nan at 5"),
            ended(1, fail, "no memory"),
            ended(4, pruned, "nan at 77"),
            ended(2, fail, "worker lost", lost=True),
            ended(3, TrialState.COMPLETE, None),
            ended(0, pruned, "nan at 3", Stage.CONFIRM),
        ]
    )
    assert [(g.stage, g.kind, g.reason, g.count, g.example) for g in groups] == [
        (Stage.SEARCH, "diverged", "nan at N", 2, 4),
        (Stage.SEARCH, "failed", "no memory", 1, 1),
        (Stage.CONFIRM, "diverged", "nan at N", 1, 0),
    ]
