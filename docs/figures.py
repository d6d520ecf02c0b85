"""Draw the figures of docs/theory.md: ``make docs``, or ``python docs/figures.py FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from ecd_tune.lab.chains import run_chains
from ecd_tune.lab.landscapes import isotropic
from ecd_tune.lab.setups import place, x_of
from ecd_tune.report.render.figures.parts.drawn import Drawn, to_svg
from ecd_tune.report.render.figures.parts.style import DASHES, INK, PALETTE, drawing, new_panel, number_axis
from ecd_tune.theory import Basin, bounce_cosine, effective_eta, paper_bounce_angle

WORDS = "docs/theory.md describes it."
N, ETA = 20, 2.0
CHAINS, STEPS, LOOKS = 400, 3000, range(1500, 3000, 250)
"""States of one chain 250 steps apart hardly depend on each other."""


def draw_law() -> Drawn:
    """Chains of the optimizer's own step on a quadratic basin, beside the laws."""
    figure, axes = new_panel(f"density of x = (F − Fmin)/(F − F0), n = {N}, η = {ETA:g}")
    basin = Basin(n=N, eta=ETA, F_min=1.0, F0=0.0, curvature=1.0, F_init=2.0, s=0, delta_energy=1.0)
    grid = np.linspace(0.005, 0.85, 300)
    cases = [("sync", 1.0, 0.03), ("algorithm1", 3.0, 0.1)]
    for (integrator, root, lr), colour in zip(cases, PALETTE, strict=False):
        rng = np.random.default_rng(0)
        nu = root / np.sqrt(N)
        setup = place(
            isotropic(N), rng, CHAINS, N, lr=lr, eta=ETA, nu=nu, integrator=integrator
        )
        seen = [x_of(m) for m in run_chains(setup, STEPS, rng) if m.t in LOOKS]
        values = np.concatenate(seen)
        axes.hist(values, np.linspace(0, 0.85, 41), density=True, color=colour, alpha=0.3)
        law = basin.gap_law(nu, integrator)
        label = f"{integrator}, ν√n = {root:g}"
        axes.plot(grid, law.pdf(grid), color=colour, label=label)
    axes.plot(grid, basin.gap_law().pdf(grid), color=INK, linestyle=DASHES[2], label="(4)")
    axes.set_xlabel("x")
    axes.legend(frameon=False)
    return Drawn("law", "", "", WORDS, figure)


def draw_turns() -> Drawn:
    """The mean cosine of a turn, as it is and as printed."""
    figure, axes = new_panel("mean cosine λ of one turn, and η_eff/η of Algorithm 1")
    roots = np.geomspace(0.03, 30, 200)
    for n, line in ((20, DASHES[1]), (100_000, DASHES[0])):
        nu = roots / np.sqrt(n)
        axes.plot(
            roots, bounce_cosine(n, nu), color=PALETTE[0], linestyle=line, label=f"λ, n = {n:,}"
        )
        axes.plot(
            roots, effective_eta(ETA, n, nu) / ETA, color=PALETTE[1], linestyle=line,
            label=f"η_eff/η, n = {n:,}",
        )  # fmt: skip
    n = 100_000
    printed = np.cos(paper_bounce_angle(n, roots / np.sqrt(n)))
    axes.plot(roots, printed, color=INK, linestyle=DASHES[2], label="cosine of the paper's angle")
    axes.set_xlim(0.03, 30)
    number_axis(axes, "x", log=True)
    axes.set_xlabel("ν√n")
    axes.legend(frameon=False, fontsize=7.5)
    return Drawn("turns", "", "", WORDS, figure)


def draw_plateau() -> Drawn:
    """How far above its floor a loss stays."""
    figure, axes = new_panel("plateau E[F − Fmin]/D")
    eta = np.linspace(1.3, 8, 200)
    for n, colour in zip((10, 100, 10**6), PALETTE, strict=False):
        held = eta[(eta - 1) * n > 2.5]
        basin = Basin(n=n, eta=held, F_min=1.0, F0=0.0, curvature=1.0, F_init=2.0, s=0,
                      delta_energy=1.0)  # fmt: skip
        axes.plot(held, basin.plateau_gap(), color=colour, label=f"n = {n:,}")
    axes.plot(eta, 1 / (eta - 1), color=INK, linestyle=DASHES[2], label="1/(η − 1)")
    axes.set_ylim(0.1, 5)
    number_axis(axes, "y", log=True)
    axes.set_xlabel("η")
    axes.legend(frameon=False)
    return Drawn("plateau", "", "", WORDS, figure)


def draw_nu_star() -> Drawn:
    """The chaos strength of one bounce an orbit, by three formulas."""
    figure, axes = new_panel("ν*√n")
    basin = Basin(n=1000, eta=ETA, F_min=1.0, F0=0.0, curvature=1.0, F_init=2.0, s=0,
                  delta_energy=1.0)  # fmt: skip
    alpha = np.geomspace(0.01, 1.4, 200)
    lr = basin.lr_for_orbit_step(alpha)
    names = {
        "orbit": "√(e^(2α*) − 1), independent turns",
        "coherent": "tan α*, (24)–(25) with the right speed",
        "paper_eq26": "(26) as printed",
    }
    for (variant, label), colour in zip(names.items(), PALETTE, strict=False):
        star = basin.nu_star(lr, variant) * np.sqrt(1000)
        axes.plot(alpha, star, color=colour, label=label)
    axes.set_xlim(0.01, 1.4)
    axes.set_ylim(0.003, 10)
    number_axis(axes, "x", log=True)
    number_axis(axes, "y", log=True)
    axes.set_xlabel("orbit step α* (radians)")
    axes.legend(frameon=False)
    return Drawn("nu-star", "", "", WORDS, figure)


FIGURES = {
    "law": draw_law,
    "turns": draw_turns,
    "plateau": draw_plateau,
    "nu-star": draw_nu_star,
}
"""By the name of the file, without its ending."""


def main(folder: str) -> None:
    """Write all figures as SVG files."""
    for name, draw in FIGURES.items():
        with drawing():
            text = to_svg(draw())
        (Path(folder) / f"{name}.svg").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:2])
