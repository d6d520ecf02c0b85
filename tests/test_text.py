"""Text of users: escaped, bounded, and without control characters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecd_tune.records import Outcome, Status
from ecd_tune.text import find_unprintable, printable

# Any code point, lone surrogates too.
ANY = st.text(st.characters(exclude_categories=()))


@given(ANY)
def test_printable_text_can_be_stored_and_shown(text: str) -> None:
    shown = printable(text)
    assert find_unprintable(shown, lines=True) is None
    assert "\x00" not in shown
    shown.encode("utf-8")
    assert printable(shown) == shown


@given(ANY)
def test_printable_text_is_unchanged(text: str) -> None:
    assert (printable(text) == text) == (find_unprintable(text, lines=True) is None)


@given(st.integers(1, 100_000), st.integers(10, 5000))
def test_length_is_bounded_and_both_ends_are_kept(length: int, most: int) -> None:
    text = "a" * (length // 2) + "b" * (length - length // 2)
    shown = printable(text, most)
    assert len(shown) <= most + 50
    assert (shown[0], shown[-1]) == (text[0], text[-1])


@pytest.mark.parametrize("bad", ["\x00", "\x1b[31m", "\ud800", "\u2028", "\x85", "\u202e", "\x7f"])
def test_unprintable_characters_are_escaped(bad: str) -> None:
    assert find_unprintable(f"a{bad}b") == bad[0]
    assert "\\" in printable(f"a{bad}b")


def test_newlines_are_optional() -> None:
    assert find_unprintable("one\n\ttwo", lines=True) is None
    assert find_unprintable("one\ntwo") == "\n"


def test_the_reason_of_an_outcome_is_printable() -> None:
    outcome = Outcome(Status.FAILED, reason="ValueError: \x00\ud800" + "x" * 3_000_000)
    assert outcome.reason is not None
    assert outcome.reason.startswith("ValueError: \\x00\\ud800xx")
    assert len(outcome.reason) < 5000
