import json
from pathlib import Path

from typer.testing import CliRunner

from ecd_tune.cli.main import app
from ecd_tune.cli.tasks import render_tasks
from ecd_tune.registry import TASKS

PAGE = Path(__file__).parents[2] / "docs" / "tasks.md"


def test_the_page_is_what_the_command_prints() -> None:
    assert PAGE.read_text(encoding="utf-8") == render_tasks(), "run: make docs"


def test_every_task_and_option_has_a_meaning() -> None:
    for task in TASKS:
        assert task.source, task.name
        for name, option in task.options.items():
            assert option.doc, (task.name, name)
            assert option.problem(option.default) is None, (task.name, name)


def test_one_task_is_shown_with_its_options() -> None:
    text = CliRunner().invoke(app, ["tasks", "zakharov"]).stdout
    assert text.startswith("zakharov: Zakharov function (")
    assert "option   start = 'ones' ('ones', 'uniform'): " in text
    shown = json.loads(CliRunner().invoke(app, ["tasks", "zakharov", "--json"]).stdout)
    assert shown["options"]["n"]["default"] == 10
    wrong = CliRunner().invoke(app, ["tasks", "zakarov"]).exception
    assert "did you mean 'zakharov'?" in str(wrong)
