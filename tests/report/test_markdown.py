import dataclasses
import re

from ecd_tune.records import Stage
from ecd_tune.report import build_report, render_markdown


def tables(text):
    """Rows of each table, cells split at bars that are not escaped."""
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.M):
        yield [re.split(r"(?<!\\)\|", line)[1:-1] for line in block.splitlines()]


def test_answer_comes_first(zakharov):
    lines = render_markdown(zakharov).splitlines()
    assert lines[0] == "# Zakharov, ten dimensions"
    assert lines[2].startswith("ECDSep is ahead of every other")


def test_sections_stand_in_their_order(zakharov):
    titles = re.findall(r"^## (.+)$", render_markdown(zakharov), flags=re.M)
    assert titles == [
        "Results",
        "Comparison, seed by seed",
        "Hyperparameters",
        "Learning curves (the counterpart of the paper's Fig. 1)",
        "Search",
        "Theory",
        "What was searched",
        "Trials that diverged or failed",
        "Cost",
        "How to reproduce",
    ]


def test_every_table_is_rectangular(zakharov, digits):
    for report in (zakharov, digits):
        found = list(tables(render_markdown(report)))
        assert len(found) >= 7
        assert all(len({len(row) for row in table}) == 1 for table in found)


def test_main_table_shows_search_and_confirmation_side_by_side(zakharov):
    rows = {r[0].strip(): r for r in next(tables(render_markdown(zakharov)))}
    ours, paper = rows["ECDSep"], rows["ECDSep (paper)"]
    assert list(rows)[2:] == ["ECDSep", "ECDSep (paper)", "Adam", "GDM"]  # ranked
    assert ours[1].strip() == f"{zakharov.results[0].search_value:.3e}"
    assert paper[-2].strip() == "5 of 8"
    assert paper[2].strip().startswith("diverged")
    assert paper[1].strip() == "–"


def test_only_the_winner_is_bold(zakharov, studies):
    (bold,) = re.findall(r"\*\*([^*|]+)\*\* \|", render_markdown(zakharov))
    assert bold.startswith("1.1e-26")
    spec = studies.digits_spec()
    level = build_report(spec, studies.digits_trials(spec, runs=4))
    assert not re.findall(r"\*\*([^*|]+)\*\* \|", render_markdown(level))


def test_numbers_are_aligned_right(zakharov):
    text = render_markdown(zakharov)
    assert "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |" in text
    assert "| --- | --- | ---: | ---: | ---: | ---: | --- |" in text


def test_curve_table_has_about_eight_steps_and_is_folded_away(zakharov):
    text = render_markdown(zakharov)
    table = next(t for t in tables(text) if t[0][0].strip() == "iterations")
    steps = [int(row[0]) for row in table[2:]]
    assert (steps[0], steps[-1]) == (0, 1000)
    assert 6 <= len(steps) <= 8
    assert "<details><summary>Median recorded value at some steps</summary>" in text


def test_cell_text_is_escaped(zakharov):
    title = "a | b\n# <script>*x*"
    text = render_markdown(dataclasses.replace(zakharov, title=title))
    assert text.splitlines()[0] == r"# a \| b # \<script\>\*x\*"


def test_numbers_of_the_papers_protocol_are_marked_oracle(studies):
    spec = studies.digits_spec(protocol="paper")
    text = render_markdown(build_report(spec, studies.digits_trials(spec), {}))
    header = next(tables(text))[0]
    numbers = [c for c in header if re.search("best|Quartiles|Median|Mean", c)]
    assert len(numbers) == 4
    assert all("(oracle)" in cell for cell in numbers)


def test_accuracies_have_a_mean_and_wide_values_none(zakharov, digits):
    assert "Mean ± 95 % interval" in render_markdown(digits)
    assert "Mean ±" not in render_markdown(zakharov)


def test_an_empty_study_renders(studies):
    text = render_markdown(build_report(studies.zakharov_spec(), {}, {}))
    assert "There is no answer yet" in text
    assert "figures/" not in text
    assert "**Caution**" in text


def test_averaged_weights_are_shown_beside_the_best_epoch(studies):
    spec = studies.digits_spec(training={"averaging": {"kind": "swa", "start": 5}})
    trials = studies.digits_trials(spec)
    for key in spec.optimizers:
        name = spec.key(key, Stage.CONFIRM)
        trials[name] = [
            dataclasses.replace(r, metrics={**r.metrics, "single_test_accuracy": 0.625})
            for r in trials[name]
        ]
    report = build_report(spec, trials, {})
    assert report.metric == "best validation accuracy of averaged weights"
    table = next(tables(render_markdown(report)))
    place = table[0].index(" Best single epoch, median ")
    assert [row[place].strip() for row in table[2:4]] == ["0.625", "0.625"]
    plain = render_markdown(build_report(studies.digits_spec(), studies.digits_trials(spec), {}))
    assert "Best single epoch" not in plain
