"""Figures: content, scales and reproducible files."""

import dataclasses
import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from ecd_tune.analysis import Band
from ecd_tune.analysis.select import rank_trials, thin_ranked
from ecd_tune.records import Direction
from ecd_tune.report import build_report
from ecd_tune.report.model.relations.panels import Line, Points, ScatterPanel
from ecd_tune.report.render.figures.contour import draw_contours
from ecd_tune.report.render.figures.curves import draw_curves
from ecd_tune.report.render.figures.everything import draw_figures
from ecd_tune.report.render.figures.parallel import draw_parallel
from ecd_tune.report.render.figures.parts.drawn import inline_svg, to_pdf, to_png, to_svg
from ecd_tune.report.render.figures.parts.places import fit_places
from ecd_tune.report.render.figures.parts.scale import choose_scale
from ecd_tune.report.render.figures.parts.style import BEHIND, drawing, label_ends, new_panel
from ecd_tune.report.render.figures.relations import draw_relations
from ecd_tune.report.render.figures.seeds import draw_seeds
from ecd_tune.report.render.figures.slices import draw_slices

MIN, MAX = Direction.MINIMIZE, Direction.MAXIMIZE


def drawn(make, *args):
    with drawing():
        return {figure.name: figure for figure in make(*args)}


def texts(figure):
    return [node.text for node in ElementTree.fromstring(to_svg(figure)).iter() if node.text]


def lines(figure):
    return figure.figure.axes[0].get_lines()


def test_all_figures_are_drawn(searched, digits):
    names = [figure.name for figure in draw_figures(searched)]
    assert names == [
        "seeds", "importance", "slices-ecdsep", "slices-adam", "slices-gdm",
        "contour-ecdsep", "contour-adam", "contour-gdm", "curves-metric",
        "search-trials", "search-seconds", "pareto",
    ]  # fmt: skip
    names = [figure.name for figure in draw_figures(digits)]
    assert [name for name in names if name.startswith("curves")] == [
        "curves-metric", "curves-train_loss",
    ]  # fmt: skip


def test_curves_are_their_medians_with_labels_at_their_ends(zakharov):
    figure = drawn(draw_curves, zakharov)["curves-metric"]
    axes = figure.figure.axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    for line, curve in zip(lines(figure), zakharov.curves, strict=True):
        assert tuple(line.get_ydata()) == pytest.approx(curve.band.median)
    assert {"ECDSep", "ECDSep (paper)", "Adam", "GDM", "iterations"} <= set(texts(figure))
    solid, dashed = lines(figure)[:2]
    assert solid.get_color() == dashed.get_color()
    assert solid.get_linestyle() == "-" != dashed.get_linestyle()


def test_accuracies_are_drawn_as_errors(digits):
    figure = drawn(draw_curves, digits)["curves-metric"]
    assert "1 − validation accuracy" in texts(figure)
    (first, *_) = lines(figure)
    assert tuple(first.get_ydata())[-1] == pytest.approx(1 - digits.curves[0].band.median[-1])


def test_every_confirmed_run_is_a_point_the_best_row_first(zakharov):
    figure = drawn(draw_seeds, zakharov)["seeds"]
    axes = figure.figure.axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["ECDSep", "Adam", "GDM", "ECDSep (paper)"]
    points = [line for line in lines(figure) if line.get_marker() == "o"]
    assert [len(line.get_xdata()) for line in points] == [8, 8, 8, 3]
    assert "5 diverged" in texts(figure)
    assert sorted(points[0].get_xdata()) == pytest.approx(
        sorted(zakharov.results[0].confirmed.values)
    )


@pytest.mark.parametrize(
    ("values", "direction", "error", "log", "limits"),
    [
        ([0.97, 0.98, 0.4], MAX, True, True, (0.02, 0.6)),
        ([0.97, 0.98, 0.975], MAX, True, False, (0.02, 0.03)),
        ([2.0, 3.0], MIN, False, False, (2.0, 3.0)),
        ([1e-9, 3.0, math.inf], MIN, False, True, (1e-9, 3.0)),
        ([-1.0, 5.0], MAX, False, False, (-1.0, 5.0)),
    ],
)
def test_the_scale_shows_the_differences(values, direction, error, log, limits):
    scale = choose_scale(values, "it", direction)
    assert (scale.error, scale.log) == (error, log)
    shown = scale.show([v for v in values if math.isfinite(v)])
    assert (min(shown), max(shown)) == pytest.approx(limits)
    assert scale.low < limits[0] < limits[1] < scale.high


def test_outlier_does_not_dominate_the_axis():
    values = [*np.linspace(-1.0, -0.9, 20), 50.0]
    scale = choose_scale(values, "loss", MIN)
    assert scale.high < 0
    assert scale.show([50.0]) == [scale.high]
    turned = choose_scale([-v for v in values], "score", MAX)
    assert (turned.low, turned.high) == pytest.approx((-scale.high, -scale.low))


@pytest.mark.parametrize(
    "values", [[1e-53, 1.0, 1e307], [5e-324, 1e99], [1e-249, 9e99], [0.0, 1e308], [1e200, 1e201]]
)
def test_values_at_the_ends_of_floating_point_have_an_axis(values):
    with drawing():
        figure, axes = new_panel("it", ["label"])
        scale = choose_scale(values, "it", MIN)
        scale.apply(axes)
        axes.plot(scale.show(values))
        figure.canvas.draw()  # any warning is an error
    low, high = axes.get_ylim()
    assert all(low <= value <= high for value in scale.show(values))


@pytest.mark.parametrize("log", [True, False])
@pytest.mark.parametrize(
    "values", [[1e-300, 1e300], [1e308], [-1e308, 1e308], [5e-324, 1e-320], [5e-324, 1.0]]
)
def test_hyperparameters_at_the_ends_of_floating_point_have_an_axis(values, log):
    with drawing():
        figure, axes = new_panel("it", ["label"])
        fit_places(axes, "x", values, log)
        axes.plot(values, [0.0] * len(values), "o")
        figure.canvas.draw()  # any warning is an error
    low, high = axes.get_xlim()
    assert low < high
    assert all(low <= value <= high for value in values if 1e-250 < abs(value) < 1e100)


def test_zero_is_shown_on_a_logarithmic_axis():
    scale = choose_scale([0.0, 1e-3, 1.0], "loss", MIN)
    assert scale.log
    assert 0 < scale.show([0.0])[0] < 1e-3


def test_labels_do_not_overlap():
    with drawing():
        _, axes = new_panel("y", ["a"])
        axes.set_ylim(0, 1)
        label_ends(axes, [(v, f"{v}", "#000000") for v in (0.5, 0.501, 0.502, 1.0, 0.999)])
    places = sorted(text.get_position()[1] for text in axes.texts)
    gaps = np.diff(places) * axes.get_position().height * axes.figure.get_figheight()
    assert (gaps > 0.15).all()
    assert [text.get_text() for text in sorted(axes.texts, key=lambda t: t.get_position()[1])] == [
        "0.5", "0.501", "0.502", "0.999", "1.0",
    ]  # fmt: skip
    assert places[0] >= 0
    assert places[-1] <= 1.05


@pytest.mark.parametrize("write", [to_svg, to_pdf, to_png])
def test_files_are_reproducible(write, zakharov):
    first, second = (drawn(draw_seeds, zakharov)["seeds"] for _ in range(2))
    assert write(first) == write(second)
    data = write(first)
    assert b"CreationDate" not in (data.encode() if isinstance(data, str) else data)


def test_dollar_and_non_ascii_characters_are_kept(zakharov):
    row = dataclasses.replace(zakharov.curves[0], label="$x_1$ 学 <b>")
    report = dataclasses.replace(zakharov, curves=(row,))
    assert "$x_1$ 学 <b>" in texts(drawn(draw_curves, report)["curves-metric"])


@pytest.mark.parametrize("value", [0.0, 1.0, -4.0, 1e-300])
@pytest.mark.parametrize("steps", [(0, 1, 2), (500,)])
def test_a_constant_curve_and_a_single_step_can_be_drawn(zakharov, value, steps):
    same = (value,) * len(steps)
    row = dataclasses.replace(zakharov.curves[0], band=Band(steps, same, same, same, 3, 0))
    report = dataclasses.replace(zakharov, curves=(row,))
    assert to_svg(drawn(draw_curves, report)["curves-metric"])


def test_relations_have_every_point_bar_band_and_title():
    line = Line((1.0, 10.0), (1.0, 2.0), (0.5, 1.0), (2.0, 4.0))
    points = (Points("a < b", (1.0, 5.0), (1.5, 1.0), (0.1, 9.0)), Points("c", (2.0,), (1.1,)))
    panel = ScatterPanel("T & U", "note", "x", "y", True, True, points, line)
    first, second = drawn(draw_relations, [panel, panel]).values()
    assert first.caption == "T & U. note"
    found = [line for line in lines(first) if line.get_marker() == "o"]
    assert [len(line.get_xdata()) for line in found] == [2, 1]
    axes = first.figure.axes[0]
    (bars,) = (c for c in axes.collections if hasattr(c, "get_segments"))
    # A bar that reaches below 0 ends at the foot of a logarithmic axis.
    assert bars.get_segments()[1][0][1] == pytest.approx(axes.get_ylim()[0])
    assert {"a < b", "c", "x", "y"} <= set(texts(second))


def test_marker_style_is_written_once_per_line(zakharov):
    text = to_svg(drawn(draw_seeds, zakharov)["seeds"])
    uses = re.findall(r"<use [^>]*>", text)
    assert len([use for use in uses if "style" not in use]) >= 27


def test_only_coordinates_are_rounded(zakharov):
    row = dataclasses.replace(zakharov.curves[0], label="0.00123456 of it")
    text = to_svg(drawn(draw_curves, dataclasses.replace(zakharov, curves=(row,)))["curves-metric"])
    assert "0.00123456 of it" in text
    assert not re.search(r"<path[^>]*\d\.\d{3}", text)


def test_the_best_trial_is_among_the_coloured_ones(searched):
    for name, best in zip(("ecdsep", "adam", "gdm"), searched.best, strict=True):
        figure = next(f for f in draw_figures(searched) if f.name == f"slices-{name}")
        coloured = figure.figure.axes[0].get_lines()[1]
        param = next(p for p in searched.importance if p.optimizer == name)
        assert best.values[param.name] in coloured.get_xdata()
        assert f"{param.name} = {best.values[param.name]:.3g}" in figure.words


def test_predictions_are_lines_among_the_trials(searched):
    figure = drawn(draw_slices, searched)["slices-adam"]
    (entry,) = (entry for entry in searched.sensitivity if entry.optimizer == "adam")
    order = [p.name for p in searched.importance if p.optimizer == "adam"]
    rows = {row.name: row for row in entry.rows}
    assert len(rows) == 2
    for axes, name in zip(figure.figure.axes, order, strict=True):
        *_, line = axes.get_lines()
        assert tuple(line.get_xdata()) == rows[name].values
        assert tuple(line.get_ydata()) == rows[name].predicted
        assert axes.get_xlabel() == name
    assert "prediction of a model" in figure.caption
    # Noise: no model, no line.
    noise = drawn(draw_slices, searched)["slices-ecdsep"]
    assert [len(axes.get_lines()) for axes in noise.figure.axes] == [2, 2]
    assert "prediction" not in noise.caption


def test_contours_surround_the_best_trials(searched):
    figure = drawn(draw_contours, searched)["contour-adam"]
    axes = figure.figure.axes[0]
    order = [p.name for p in searched.importance if p.optimizer == "adam"]
    rest, best = lines(figure)
    ranked = rank_trials((r for r in searched.trials if r.key.optimizer == "adam"), MIN)
    assert list(best.get_xdata())[::-1] == [r.params[order[0]] for r in ranked[:4]]
    assert list(rest.get_ydata())[::-1] == [r.params[order[1]] for r in ranked[4:]]
    (contours,) = (c for c in axes.collections if hasattr(c, "levels"))
    assert tuple(contours.levels) == (0.5, 0.65, 0.8)
    assert {"80 %", "65 %", "50 %"} >= {t for t in texts(figure) if t.endswith("%")} > set()
    # Of a bowl around lr = 10 the innermost contour has 10 within, and spans less than the outer.
    spans = [
        (path.vertices[:, 0].min(), path.vertices[:, 0].max()) for path in contours.get_paths()
    ]
    assert spans[-1][0] < 10 < spans[-1][1]
    assert spans[0][0] < spans[-1][0]
    assert spans[-1][1] < spans[0][1]


def test_many_dots_are_one_path_in_a_page(searched):
    figure = drawn(draw_slices, searched)["slices-adam"]
    whole, inline = to_svg(figure), inline_svg(figure)
    # 36 dots of lesser trials in each of two panels, 4 in colour.
    found = re.findall(r'<path clip-path="[^"]*" d="((?:M[\d.]+ [\d.]+h0)+)"', inline)
    assert [path.count("M") for path in found] == [36, 36]
    group = re.search(r"<g clip-path[^>]*>(<use[^>]*>\s*){36}</g>", whole)[0]
    dots = re.findall(r'x="([\d.]+)" y="([\d.]+)"', group)
    assert found[0] == "".join(f"M{x} {y}h0" for x, y in dots)
    assert "stroke-width: 3; stroke-linecap: round" in inline
    assert "font-family: " in whole
    assert "font-family: " not in inline


def test_each_trial_is_a_line_over_its_hyperparameters(studies):
    space = {
        "lr": {"low": 1e-2, "high": 1e4, "log": True},
        "eta": {"low": 1.0, "high": 4.0},
        "conserve_energy": [True, False],
    }
    lr = {"lr": {"low": 1e-8, "high": 1.0, "log": True}}
    spaces = {"ecdsep": space, "adam": lr, "gdm": lr}
    tables = {key: {"space": own} for key, own in spaces.items()}
    tables["ecdsep"]["references"] = [{"label": "paper", "params": {"lr": 1.0, "eta": 1.0}}]
    budget = {"trials": 40, "steps": 250, "batch": 4}
    spec = studies.zakharov_spec(budget=budget, optimizers=tables, checks=[])
    report = build_report(spec, studies.zakharov_trials(spec), {})
    figure = drawn(draw_parallel, report)["parallel-ecdsep"]
    rest, *good = lines(figure)
    width = np.flatnonzero(np.isnan(rest.get_ydata()))[0] + 1
    shown = [*rest.get_ydata().reshape(-1, width)[:, :-1], *(line.get_ydata() for line in good)]
    ranked = rank_trials(
        (r for r in report.trials if r.key.optimizer == "ecdsep"), report.direction
    )
    assert len(shown) == len(ranked) >= 20
    order = [p.name for p in report.importance if p.optimizer == "ecdsep"]
    assert [t.get_text() for t in figure.figure.axes[0].get_xticklabels()] == [
        name.replace("_", "\n") for name in order
    ]
    best = shown[-1][order.index("lr")]  # the best one is drawn last
    logs = [math.log10(r.params["lr"]) for r in ranked]
    assert best == pytest.approx((logs[0] - min(logs)) / (max(logs) - min(logs)))
    choice = {line[order.index("conserve_energy")] for line in shown}
    assert choice <= {0.0, 1.0}
    assert rest.get_color() == BEHIND
    assert len(good) == round(0.1 * len(ranked))


def test_thinning_keeps_both_ends_and_the_order():
    assert thin_ranked([*range(1000)], 5) == [999, 749, 500, 250, 0]
    assert thin_ranked([1, 2, 3], 5) == [3, 2, 1]
