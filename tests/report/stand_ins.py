"""Stand-ins for reports of studies."""

from types import SimpleNamespace

from ecd_tune.records import Direction


def task(name, medians, seconds=(), **fields):
    """A stand-in for a report of these medians, to be made large."""
    keys = "abcd"[: len(medians)]
    rows = [
        SimpleNamespace(
            optimizer=key,
            title=key.upper(),
            source="best",
            summary=SimpleNamespace(median=m, median_interval=None, runs=5, mean=m) if m else None,
        )
        for key, m in zip(keys, medians, strict=True)
    ]
    effort = [
        SimpleNamespace(optimizer=key, source="best", seconds=s)
        for key, s in zip(keys, seconds, strict=False)
    ]
    told = {
        "name": name, "title": f"Task {name}", "confirm_metric": "accuracy",
        "direction": Direction.MAXIMIZE, "protocol": "clean", "oracle": False, "log": False,
        "answer": SimpleNamespace(winner=None), "results": rows,
        "effort": SimpleNamespace(rows=effort) if effort else None, "trials": (), "best": (),
    }  # fmt: skip
    return SimpleNamespace(**told | fields)
