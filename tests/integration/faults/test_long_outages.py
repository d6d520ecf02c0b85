"""Real workers survive an unavailable database: seconds here, ten minutes in `make faults`."""

from __future__ import annotations

import pytest

from ecd_tune.testing.outage import LONGEST_SILENCE, read_log, survive_outage

LINES = """\
2026-11-25 04:00:00,000 INFO outage: 3 results stored
2026-11-25 04:00:10,000 WARNING storage x: refused; retrying, work continues meanwhile
2026-11-25 04:01:12,500 WARNING storage x: refused; unavailable for 63 s, retrying
2026-11-25 04:01:13,000 WARNING storage x: available again after 63.0 s
"""


@pytest.mark.usefixtures("postgres", "preloaded")
def test_two_workers_survive_two_seconds(tmp_path):
    # Trials short enough to be told within the outage, on a slow machine too, and so many that one
    # worker does not make them all while the other starts.
    outage = survive_outage(tmp_path, 2.0, workers=2, trials=60, epochs=20)
    assert 2 <= outage.before < 60
    assert outage.back < 120


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("postgres")
def test_four_workers_survive_ten_minutes(tmp_path):
    outage = survive_outage(tmp_path, 600.0)
    assert all(log.away > 590.0 and log.lines >= 9 for log in outage.logs)
    assert all(log.silence <= LONGEST_SILENCE for log in outage.logs)


def test_outage_log_lines_are_parsed():
    log = read_log(LINES)
    assert (log.lines, log.silence, log.away) == (3, 62.5, 63.0)
    assert read_log("2026-11-25 04:00:00,000 INFO outage: 3 results stored\n").lines == 0
