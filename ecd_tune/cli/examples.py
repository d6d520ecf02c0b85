"""One example for each command, shown below its help; a test runs them."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["EXAMPLES", "EXIT_STATUS", "example_of"]

EXAMPLES: Mapping[str, str] = {
    "run": "ecd-tune run zakharov --workers 2 --trials 20",
    "launch": "ecd-tune launch zakharov --workers 2 --trials 20",
    "worker": "ecd-tune worker zakharov --trials 20",
    "status": "ecd-tune status zakharov",
    "best": "ecd-tune best zakharov --optimizer ecdsep --format python",
    "report": "ecd-tune report zakharov --out reports/zakharov",
    "compare": "ecd-tune compare zakharov ackley --out reports/synthetic",
    "dashboard": "ecd-tune dashboard --port 8080",
    "studies": "ecd-tune studies synthetic",
    "tasks": "ecd-tune tasks --json",
    "show": "ecd-tune show digits",
    "validate": "ecd-tune validate my_study.toml",
    "check": "ecd-tune check --systems --only C13",
    "claims": "ecd-tune claims --no-run",
    "doctor": "ecd-tune doctor --storage sqlite:///ecd_tune.db",
    "reap": "ecd-tune reap",
    "verify": "ecd-tune verify zakharov 1 --optimizer ecdsep",
    "replay": "ecd-tune replay zakharov --optimizer ecdsep --sampler random,tpe --repeats 20",
    "new-task": "ecd-tune new-task my_task.py",
    "new-study": "ecd-tune new-study new.toml --task zakharov",
    "data": "ecd-tune data --json",
    "data get": "ecd-tune data get cora",
    "db upgrade": "ecd-tune db upgrade --storage sqlite:///ecd_tune.db",
    "db current": "ecd-tune db current",
    "db check": "ecd-tune db check --storage sqlite:///ecd_tune.db",
    "retry": "ecd-tune retry zakharov --failed",
    "invalidate": "ecd-tune invalidate zakharov/ecdsep 1 --reason 'wrong data'",
}
EXIT_STATUS = (
    "Exit status: 0 success; 1 the command ran with a negative result (a worker failed, a check "
    "is not as expected, a number differs, the schema is not current, a search has no result); 2 "
    "wrong input, or the database cannot be reached; 3 a worker gave up after repeated failures; "
    "130 and 143 stopped by Ctrl-C and SIGTERM (the dashboard: 0)."
)


def example_of(command: str) -> str:
    """Return the line below the help of a command.

    Args:
        command: Its name; with that of its group, for example ``"db check"``.
    """
    return f"Example: `{EXAMPLES[command]}`"
