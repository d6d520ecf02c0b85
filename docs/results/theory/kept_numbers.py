"""Print what the pages of these studies state beside the checks, from the trials that are kept.

    python docs/results/theory/kept_numbers.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ecd_tune.theory import Basin

HERE = Path(__file__).parent


def read(study: str) -> pd.DataFrame:
    """Return the trials of a study, hyperparameters and metrics by their own names."""
    trials = pd.read_csv(HERE / study / "trials.csv")
    short = {c: c.removeprefix("param.").removeprefix("metric.") for c in trials.columns}
    return trials.rename(columns=short)


def gains() -> None:
    """Print by what raising F0 divides the gap, with Δt at its best, and not."""
    trials = read("f0-eta")
    trials["gap"] = trials["measured_tail_loss"] - 1.0
    for optimizer, part in trials.groupby("optimizer", sort=False):
        for name, chosen in (("best Δt", part), ("Δt = 0.1", part[part["lr"] == 0.1])):
            gap = chosen.groupby(["eta", "F0"])["gap"].min().unstack()
            table = pd.DataFrame({f"F0 = {f}": gap[0.0] / gap[f] for f in (0.9, 0.99)}).round(1)
            print(f"f0-eta, {optimizer}, {name}: gap at F0 = 0 over\n{table.to_string()}\n")


def large_steps() -> None:
    """Print where Algorithm 1 ends against its plateau, by Δt."""
    trials = read("f0-eta")
    trials = trials[(trials["optimizer"] == "algorithm1") & (trials["F0"] == 0)]
    basin = Basin(np.full(len(trials), 50), trials["eta"], 1.0, 0.0, 0.1**0.5, 20.0, 0, 1.0)
    plateau = basin.plateau_gap(trials["resolved_nu"], "algorithm1")
    table = trials.assign(ratio=(trials["measured_tail_loss"] - 1) / plateau)
    table = table.pivot(index="lr", columns="eta", values="ratio").round(3)
    print(f"f0-eta, algorithm1, F0 = 0: F − Fmin over its plateau\n{table.to_string()}\n")


def plateaus() -> None:
    """Print how far from its plateau the loss ends, by ν/ν*."""
    for study, n in (("nu-star", 50), ("nu-star-n200", 200)):
        trials = read(study)
        basin = Basin(
            np.full(len(trials), n), trials["eta"], 1.0, 0.0, 0.1**0.5, trials["measured_loss_init"], 0, 1.0
        )
        trials["ratio"] = (trials["measured_tail_loss"] - 1) / basin.plateau_gap()
        share = trials["resolved_nu"] / basin.nu_star(trials["lr"])
        trials["nu / nu*"] = pd.cut(share, [0, 0.3, 1, 3, 10, np.inf])
        found = trials.groupby("nu / nu*", observed=True)["ratio"].describe(percentiles=[0.1, 0.5, 0.9])
        print(f"{study}: F − Fmin over its plateau\n{found.round(3).to_string()}\n")


def step_sizes() -> None:
    """Print the best Δt of each width."""
    for study in ("dt-scaling-h2", "dt-scaling-h8", "dt-scaling", "dt-scaling-h128", "dt-scaling-h512"):
        trials = read(study).sort_values("value", ascending=False)
        n, top = int(trials["measured_n"].max()), trials.head(5)
        pairs = ", ".join(f"{lr:.3g} ({value:.4f})" for lr, value in zip(top["lr"], top["value"]))
        print(f"{study}, n = {n}: best five Δt (validation accuracy) {pairs}")


def pairs() -> None:
    """Print the pairs with and without the rescale."""
    for study in ("rescaling-b16", "rescaling", "rescaling-b256", "rescaling-full"):
        trials = read(study)
        table = trials.pivot_table(
            index=["lr", "eta", "nu_sqrt_n"], columns="conserve_energy", values="value"
        )
        table.columns = ["off", "on"]
        wins, losses = int((table.on > table.off).sum()), int((table.on < table.off).sum())
        best = table.max()
        middle = (table.on - table.off).median()
        print(
            f"{study}: with is better in {wins}, worse in {losses}, equal in "
            f"{len(table) - wins - losses}; best with {best.on:.4f}, without {best.off:.4f}; "
            f"median difference {middle:+.4f}"
        )
        for (lr, eta, root), row in table[table.on < table.off - 0.2].iterrows():
            print(f"    Δt = {lr:g}, η = {eta:g}, ν√n = {root:g}: {row.on:.3f} with, {row.off:.3f} without")


if __name__ == "__main__":
    gains()
    large_steps()
    plateaus()
    step_sizes()
    pairs()
