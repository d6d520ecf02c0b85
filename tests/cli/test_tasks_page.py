from pathlib import Path

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
