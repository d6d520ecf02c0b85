"""Studies side by side: mean ranks with the critical difference, and performance profiles."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ecd_tune.report.model.across.studies import Across
from ecd_tune.report.render.figures.parts.drawn import Drawn
from ecd_tune.report.render.figures.parts.style import (
    INK,
    PALETTE,
    drawing,
    label_ends,
    new_panel,
    number_axis,
)

__all__ = ["draw_across"]

_ROW, _REST = 0.26, 0.9
"""Inches per row, and of the margins above and below."""


def draw_across(across: Across) -> tuple[Drawn, ...]:
    """Draw a comparison of studies.

    Args:
        across: The comparison.

    Returns:
        The figures; none for a single task.
    """
    with drawing():
        return (*_draw_ranks(across), *_draw_profiles(across))


def _colours(across: Across) -> dict[str, str]:
    return {key: PALETTE[i % len(PALETTE)] for i, key in enumerate(across.titles)}


def _draw_ranks(across: Across) -> Iterator[Drawn]:
    if across.critical is None:
        return
    keys, means = across.ranked, across.mean_ranks
    titles = [across.titles[key] for key in keys]
    figure, axes = new_panel("", titles, _ROW * (len(keys) + 1) + _REST)
    box, top = axes.get_position(), 1 - 0.1 / figure.get_figheight()
    axes.set_position((0.05, box.y0, box.x1 - 0.05, top - box.y0))
    axes.plot([1, 1 + across.critical], [0, 0], color=INK, lw=1.5, marker="|")
    axes.text(1 + across.critical, -0.35, f" critical difference {across.critical:.2f}", ha="right")
    for place, key in enumerate(keys, 1):
        colour = _colours(across)[key]
        # Optimizers within the bar of another do not differ significantly from it.
        axes.plot(
            [means[key], means[key] + across.critical],
            [place, place],
            color=colour,
            lw=2,
            alpha=0.35,
        )
        axes.plot([means[key]], [place], "o", color=colour, ms=6)
    axes.set_ylim(len(keys) + 0.6, -0.9)
    axes.set_xlim(0.8, max(len(keys), 1 + across.critical) + 0.2)
    axes.set_yticks([])
    number_axis(axes, "x", log=False)
    axes.set_yticks([])
    label_ends(
        axes,
        [(place, across.titles[key], _colours(across)[key]) for place, key in enumerate(keys, 1)],
    )
    axes.set_xlabel("mean rank, 1 is the best")
    yield Drawn(
        "ranks",
        "ranks",
        f"Mean ranks over {len(across.rows)} tasks; bars show the critical difference (Nemenyi, 5 "
        "%); optimizers within one bar do not differ significantly",
        ", ".join(f"{across.titles[key]} {means[key]:.2f}" for key in keys),
        figure,
    )


def _draw_profiles(across: Across) -> Iterator[Drawn]:
    known = {key: found for key, found in across.slowdowns.items() if found}
    finite = [r for found in known.values() for r in found if math.isfinite(r)]
    if not finite or len(across.rows) < 2:
        return
    figure, axes = new_panel("share of the tasks", [across.titles[key] for key in known])
    high = max(1.2 * max(finite), 2.0)
    ends = []
    for key, found in known.items():
        steps = sorted(r for r in found if math.isfinite(r))
        shares = [(i + 1) / len(found) for i in range(len(steps))]
        x, y = [1.0, *steps, high], [0.0, *shares, shares[-1] if shares else 0.0]
        band = across.profiles[key]
        axes.fill_between(
            band.times,
            band.lows,
            band.highs,
            step="post",
            color=_colours(across)[key],
            alpha=0.12,
            lw=0,
        )
        axes.step(x, y, where="post", color=_colours(across)[key], lw=1.5)
        ends.append((y[-1], across.titles[key], _colours(across)[key]))
    axes.set_xlim(1.0, high)
    axes.set_ylim(0.0, 1.04)
    number_axis(axes, "x", log=True)
    number_axis(axes, "y", log=False)
    axes.set_xlabel("time to target over that of the fastest optimizer")
    label_ends(axes, ends)
    yield Drawn(
        "profiles",
        "times",
        "Performance profiles: share of the tasks on which an optimizer needs at most the given "
        "multiple of the fastest optimizer's seconds; bands: 95 % bootstrap intervals over tasks, "
        "for three or more",
        ", ".join(
            f"{across.titles[key]} is fastest on {sum(r == 1 for r in found)} of {len(found)}"
            for key, found in known.items()
        ),
        figure,
    )
