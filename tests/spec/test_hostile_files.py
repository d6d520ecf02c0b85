"""Damaged, endless or malicious study files: one message each, quickly."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ecd_tune.errors import SpecError
from ecd_tune.spec import load_study, parse_study

GOOD = """
name = "a"
[task]
name = "digits"
[budget]
trials = 5
steps = 1
[optimizers.sgd.space]
lr = 0.1
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD.replace("trials = 5", "trials = " + "9" * 5000), "is not valid TOML: .*digits"),
        ("a = " + "[" * 100_000, "nested deeper than 20"),
        ("a = " + "{ a = " * 2_000 + "1" + " }" * 2_000, "nested deeper than 20"),
        (f"[{'.'.join('a' * 5000)}]", "nested deeper than 20"),
        (GOOD.replace('name = "a"', 'extends = "/dev/zero"'), "/dev/zero: .*not a regular file"),
        (GOOD.replace('name = "a"', 'extends = "pipe"'), "pipe: .*not a regular file"),
        (GOOD.replace('name = "a"', 'extends = "."'), "not a regular file"),
        (GOOD.replace('name = "a"', r'extends = "a\u0000b"'), "expected the path"),
        (GOOD + "#" * 2**20, "larger than 1048576 bytes"),
        (GOOD.replace('"a"', '"' + "a" * 101 + '"'), "at most 100 characters"),
        (GOOD.replace("optimizers.sgd", "optimizers." + "s" * 101), "at most 100 characters"),
        (GOOD.replace("lr = 0.1", "lr = 1" + "0" * 400), r"space\]: lr: .*401 digits is too large"),
        (GOOD.replace("lr = 0.1", "lr = { low = 0, high = 1" + "0" * 400 + " }"), "too large"),
        ("seed = 1" + "0" * 400 + GOOD, "seed: .*too large"),
        (GOOD.replace(".space]\nlr = 0.1", "]\nspace = []"), r"space\]: \[\]: must be a table"),
        (GOOD.replace(".space]\nlr = 0.1", "]\nspace = 2020-01-01"), "space.*must be a table"),
        ("\x00", "is not valid TOML"),
    ],
)
def test_each_is_refused_with_one_message(text: str, message: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    path = tmp_path / "study.toml"
    path.write_text(text)
    with pytest.raises(SpecError, match=message) as caught:
        load_study(path)
    assert len(str(caught.value)) < 1000


def test_several_problems_in_one_entry_of_a_list_hide_no_others() -> None:
    entries = [{"label": "a", "params": {}}, {"low": 1, "high": 2}, 3]
    optimizers = {
        "sgd": {"space": {"lr": 0.1}, "first": entries},
        "adam": {"space": {"lr": [[1]]}, "title": 4},
    }
    table = {
        "name": "a",
        "task": {"name": "digits"},
        "budget": {"trials": 1, "steps": 1},
        "optimizers": optimizers,
    }
    with pytest.raises(SpecError) as caught:
        parse_study(table)
    for problem in ("sgd.first.1]: label: is missing", "[optimizers.adam.space]: lr", "title"):
        assert problem in str(caught.value)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_bytes(b'name = "\xff"')
    with pytest.raises(SpecError, match="is not valid TOML"):
        load_study(path)


def test_a_label_fits_into_its_column() -> None:
    table = {
        "name": "a",
        "task": {"name": "digits"},
        "budget": {"trials": 1, "steps": 1},
        "optimizers": {
            "sgd": {
                "space": {"lr": 0.1},
                "references": [{"label": "l" * 101, "params": {"lr": 0.1}}],
            }
        },
    }
    with pytest.raises(SpecError, match=r"label.*at most 100 characters"):
        parse_study(table)


@pytest.mark.parametrize("bad", [r"\n", r"\u001b[31m", r"\u2028", r"\u0000", r"\u202e", r"\u0085"])
@pytest.mark.parametrize(
    "line", ['title = "a{}b"', 'optimizers.sgd.title = "a{}b"', 'confirmation.task."a{}b" = 1']
)
def test_a_text_that_is_not_one_line_is_refused(line: str, bad: str, tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text(line.format(bad) + GOOD)
    with pytest.raises(SpecError, match=r"holds the character U\+") as caught:
        load_study(path)
    assert str(caught.value).isprintable()


def test_prose_may_have_lines(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text('summary = """one\n\ttwo"""' + GOOD)
    assert load_study(path).summary == "one\n\ttwo"
    path.write_text(r'summary = "\u001b"' + GOOD)
    with pytest.raises(SpecError, match=r"summary: holds the character U\+001B"):
        load_study(path)
