"""Claims of §4 and §B about results: Tables 1 to 4 and who is ahead."""

from __future__ import annotations

from functools import partial

from ecd_tune.lab.claims import orders, synthetic, tables
from ecd_tune.lab.claims.model import Claim, ClaimSection
from ecd_tune.lab.claims.printed import read_printed
from ecd_tune.lab.claims.stating import by_formula, by_numbers, untested

__all__ = ["SECTIONS"]

_ROUNDS = "the exact number rounds to the printed one"
_SIGN = "the sign of the printed difference, from the listed runs; Welch, 95 % for all together"


def _means() -> tuple[Claim, ...]:
    """Make one claim a row of Tables 2 to 4."""
    return tuple(
        Claim(
            f"means-{row.name.lower().replace(' ', '-')}",
            f"{row.table}, {row.lists}",
            by_numbers(
                f"{row.name}: the four entries are means of the listed runs.",
                _ROUNDS,
                partial(tables.check_means, experiment=row.name),
            ),
        )
        for row in read_printed().experiments
    )


_TABLES = ClaimSection(
    "Tables 1 to 4 against the lists of runs",
    "The appendix lists the runs whose mean each entry should be. Refuted means that at least one "
    "entry is not that mean, rounded to two digits; it does not say which of the two is right. "
    "Every entry is listed [below](#numbers).",
    (
        Claim(
            "repeats",
            "§4.2–§4.4",
            by_numbers(
                "Runs of the best hyperparameters: 4 on CIFAR-100, 3 on Tiny ImageNet, 2 on IN-1K, "
                "10 and 5 on the graphs, 3 on each GLUE task.",
                "each list is that long",
                tables.check_repeats,
            ),
        ),
        *_means(),
        Claim(
            "average-glue",
            "Table 4",
            by_numbers(
                "The last column is the mean of the eight printed entries.",
                _ROUNDS,
                partial(tables.check_averages, column="average_glue"),
            ),
        ),
        Claim(
            "average-glue-runs",
            "Table 4, B.5",
            by_numbers(
                "The last column is the mean of the eight means of listed runs.",
                _ROUNDS,
                partial(tables.check_averages_from_runs, column="average_glue"),
            ),
        ),
        Claim(
            "average",
            "Table 1",
            by_numbers(
                "The average over the experiments is that of the printed entries: five rows of "
                "Tables 2 and 3, and the last column of Table 4.",
                _ROUNDS,
                partial(tables.check_averages, column="average"),
            ),
            note="The paper does not say which rows are averaged; these six are a reading.",
        ),
        Claim(
            "average-runs",
            "Table 1, B.2–B.5",
            by_numbers(
                "The average over the experiments is that of the means of listed runs.",
                _ROUNDS,
                partial(tables.check_averages_from_runs, column="average"),
            ),
            note="`lead-average` tests whether the order is that of the lists.",
        ),
    ),
)

_ORDERS = ClaimSection(
    "Which optimizer is ahead",
    "Printed differences against the noise of the listed runs. Inconclusive means that so few "
    "runs do not decide. The noise is that of seeds: it does not include the choice of tasks and "
    "scans, or the selection of the best epoch on the reported split.",
    (
        Claim(
            "lead-average",
            "Table 1",
            by_numbers(
                "ECDSep has the highest average.",
                _SIGN,
                orders.check_average_lead,
            ),
            note="An average over these six rows, whose metrics differ.",
        ),
        Claim(
            "competitive",
            "abstract, §4",
            untested(
                "ECDSep is competitive with or better than the best of the others on each task.",
                'No margin is given for "competitive". The next three claims have the '
                "differences to the best other optimizer in print.",
            ),
        ),
        Claim(
            "lead-table-2",
            "Table 2",
            by_numbers(
                "ECDSep is ahead of SGD on CIFAR-100 and Tiny ImageNet and level with it on IN-1K.",
                _SIGN,
                partial(orders.check_leads, table="Table 2"),
            ),
        ),
        Claim(
            "lead-table-3",
            "Table 3",
            by_numbers(
                "ECDSep is behind AdamW on both graphs.",
                _SIGN,
                partial(orders.check_leads, table="Table 3"),
            ),
        ),
        Claim(
            "lead-table-4",
            "Table 4",
            by_numbers(
                "ECDSep compares to the best other optimizer as printed on the eight tasks of "
                "GLUE.",
                _SIGN,
                partial(orders.check_leads, table="Table 4"),
            ),
            note="STS-B is printed as a tie; its listed runs have ECDSep ahead. The printed form "
            "errs in its disfavour.",
        ),
        Claim(
            "tied-imagenet",
            "§4.2, B.3",
            by_numbers(
                "On IN-1K two runs reveal no difference between the optimizers.",
                "each interval of a difference contains 0; Welch, 95 % for all together",
                partial(orders.check_no_gaps, experiment="IN-1K"),
            ),
        ),
        Claim(
            "sgd-improved",
            "§4.2, B.2",
            by_numbers(
                "SGD with a fixed rate does better on CIFAR-100 than the 81.5 of [16, §4.4].",
                "95 % interval of the mean above it",
                orders.check_reported,
            ),
        ),
        Claim(
            "adamw-graphs",
            "§4.3",
            by_numbers(
                "AdamW performed best on the graphs.",
                _SIGN,
                partial(
                    orders.check_lead,
                    optimizer="AdamW",
                    over="Adam",
                    experiments=("ogbn-arxiv", "ogbn-proteins"),
                ),
            ),
            note="Against Adam, the second in print.",
        ),
        Claim(
            "close-graphs",
            "§4.3",
            untested(
                "ECDSep is very close to AdamW on the graphs.",
                "No margin is given; `lead-table-3` has the differences.",
            ),
        ),
        Claim(
            "sgd-proteins",
            "§4.3",
            by_numbers(
                "On ogbn-proteins ECDSep outperforms SGD by many points.",
                _SIGN,
                partial(
                    orders.check_lead,
                    optimizer="ECDSep",
                    over="SGD",
                    experiments=("ogbn-proteins",),
                ),
            ),
        ),
        Claim(
            "synthetic",
            "Fig. 1, B.1",
            untested(
                "ECDSep converges faster than GDM, Adam and BBI on Zakharov's function, and "
                "reaches the global minimum of Ackley's.",
                "The figure shows one typical run and no numbers; `ecd-tune run zakharov` and "
                "`ecd-tune run ackley` repeat the search and compare over many starts.",
            ),
        ),
        Claim(
            "gdm-rates",
            "B.1",
            by_formula(
                "GDM on Zakharov's function always diverges with α from 1e-2 to 1e4.",
                "none of 2000 draws stays finite for 250 iterations",
                synthetic.check_rates_of_gdm,
            ),
            note="From (1, …, 1), α drawn evenly in its logarithm, β in (0.8, 1). `ecd-tune run "
            "zakharov` searches the other half, a best α of about 1e-6.",
        ),
    ),
)

SECTIONS: tuple[ClaimSection, ...] = (_TABLES, _ORDERS)
