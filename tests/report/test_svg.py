import dataclasses
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecd_tune.analysis import Band
from ecd_tune.report import build_report, render_svg
from ecd_tune.report.render.figures.axes import Axis
from ecd_tune.report.render.figures.svg import curve_axes

SVG = "{http://www.w3.org/2000/svg}"


def numbers(points):
    return [tuple(map(float, pair.split(","))) for pair in points.split()]


def test_lines_bands_and_legend(zakharov):
    root = ElementTree.fromstring(render_svg(zakharov))
    lines, bands = root.findall(f".//{SVG}polyline"), root.findall(f".//{SVG}polygon")
    assert len(lines) == len(bands) == 4
    assert [("stroke-dasharray" in line.attrib) for line in lines] == [False, True, False, False]
    texts = [node.text for node in root.findall(f".//{SVG}text")]
    assert {"ECDSep", "ECDSep (paper)", "Adam", "GDM", "iterations"} <= set(texts)
    assert root.find(f"{SVG}title").text.startswith("Zakharov")


def test_everything_lies_inside(zakharov):
    root = ElementTree.fromstring(render_svg(zakharov))
    width, height = map(float, root.attrib["viewBox"].split()[2:])
    for node in (*root.findall(f".//{SVG}polyline"), *root.findall(f".//{SVG}polygon")):
        assert all(78 <= x <= 700 and 16 <= y <= 330 for x, y in numbers(node.attrib["points"]))
    for node in root.findall(f".//{SVG}text"):
        assert 0 <= float(node.attrib["x"]) <= width
        assert 0 <= float(node.attrib["y"]) <= height


def test_each_quantity_has_a_panel_of_its_own(digits):
    root = ElementTree.fromstring(render_svg(digits))
    panels = [g for g in root.findall(f"{SVG}g") if g.find(f"{SVG}g") is not None]
    titles = [panel.find(f"{SVG}text").text for panel in panels]
    assert titles == ["validation accuracy", "training loss"]
    assert [len(panel.findall(f".//{SVG}polyline")) for panel in panels] == [2, 2]
    assert "transform" not in panels[0].attrib
    shift = float(panels[1].attrib["transform"].removeprefix("translate(0 ").removesuffix(")"))
    # The second begins below the name of the first one's axis, and the legend below both.
    lowest = max(float(text.attrib["y"]) for text in panels[0].findall(f"{SVG}text"))
    assert lowest < shift
    legend = [t for t in root.findall(f"{SVG}text") if t.text in ("ECDSep", "AdamW")]
    height = float(root.attrib["viewBox"].split()[3])
    assert [shift + lowest < float(t.attrib["y"]) < height for t in legend] == [True, True]


def test_a_falling_curve_falls(zakharov):
    root = ElementTree.fromstring(render_svg(zakharov))
    points = numbers(root.find(f".//{SVG}polyline").attrib["points"])
    assert points == sorted(points)  # to the right, and y grows downwards


def test_bands_enclose_their_line(digits):
    root = ElementTree.fromstring(render_svg(digits))
    line = numbers(root.find(f".//{SVG}polyline").attrib["points"])
    band = numbers(root.find(f".//{SVG}polygon").attrib["points"])
    upper, lower = band[: len(line)], band[len(line) :][::-1]
    assert all(u[1] <= m[1] <= b[1] for u, m, b in zip(upper, line, lower, strict=True))


def test_titles_are_escaped(zakharov):
    text = render_svg(dataclasses.replace(zakharov, title="a < b & c"))
    assert ElementTree.fromstring(text).find(f"{SVG}title").text.startswith("a < b & c:")


def test_without_curves_it_says_so(studies):
    text = render_svg(build_report(studies.zakharov_spec(), {}, {}))
    assert "no curves yet" in {n.text for n in ElementTree.fromstring(text).iter(f"{SVG}text")}


@pytest.mark.parametrize(
    ("axis", "ticks"),
    [
        (Axis(0.0, 1.0, False, 0, 1), [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (Axis(-3.0, 7.0, False, 0, 1), [-2, 0, 2, 4, 6]),
        (Axis(1.0, 1000.0, True, 0, 1), [1, 10, 100, 1000]),
        (Axis(2.0, 5.0, True, 0, 1), [2, 5]),
        (Axis(0.19, 9.8, True, 0, 1), [0.2, 0.5, 1, 2, 5]),
        (Axis(2.1, 4.9, True, 0, 1), [2.1, 4.9]),
        (Axis(1e-30, 1e6, True, 0, 1), [1e-30, 1e-24, 1e-18, 1e-12, 1e-6, 1, 1e6]),
    ],
)
def test_ticks(axis, ticks):
    assert axis.ticks() == pytest.approx(ticks, rel=1e-9)


@given(st.floats(-1e9, 1e9), st.floats(1e-3, 1e9), st.floats(0, 1))
def test_places_are_kept_inside(low, width, share):
    axis = Axis(low, low + width, False, 330.0, 16.0)
    assert 16 <= axis.place(low + share * width) <= 330
    assert axis.place(low - 1) == 330


@pytest.mark.parametrize("value", [0.0, 1.0, -4.0, 1e-300])
def test_a_constant_curve_has_an_axis(zakharov, value):
    band = Band((0, 1, 2), (value,) * 3, (value,) * 3, (value,) * 3, 3, 0)
    row = dataclasses.replace(zakharov.curves[0], band=band)
    x, y = curve_axes([row])
    assert y.low < value < y.high
    assert x.low < x.high
    ElementTree.fromstring(render_svg(dataclasses.replace(zakharov, curves=(row,))))


def test_one_step_can_be_drawn(zakharov):
    band = Band((500,), (1.0,), (1.0,), (1.0,), 1, 0)
    row = dataclasses.replace(zakharov.curves[0], band=band)
    ElementTree.fromstring(render_svg(dataclasses.replace(zakharov, curves=(row,))))
