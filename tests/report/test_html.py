import dataclasses
import json
from html.parser import HTMLParser

import pytest

from ecd_tune.report import build_report, render_html
from ecd_tune.report.render.figures.figures import curve_figure, progress_figure

VOID = {"meta", "link", "br", "img"}


class Page(HTMLParser):
    """Collects elements, checks that they nest, and keeps each script's text."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.scripts = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data

    def named(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


@pytest.fixture(scope="module")
def page(zakharov):
    return Page(render_html(zakharov))


def test_elements_nest(page):
    assert page.open == []


def test_nothing_is_fetched(page):
    assert not any("src" in attrs or "srcset" in attrs for _, attrs in page.elements)
    assert [a["href"] for a in page.named("link")] == ["data:,"]
    assert all(a["href"].startswith("#") for a in page.named("a"))
    (policy,) = [a["content"] for a in page.named("meta") if "http-equiv" in a]
    assert policy.startswith("default-src 'none'")


def test_it_can_be_read_aloud(page):
    assert page.named("html") == [{"lang": "en"}]
    assert len(page.named("h1")) == 1
    assert len(page.named("table")) == len(page.named("caption")) >= 7
    assert all("scope" in attrs for attrs in page.named("th"))
    plots = [a for a in page.named("div") if a.get("class") == "plot"]
    assert [a["id"] for a in plots] == ["plot-curves", "plot-progress"]
    assert all(len(a["aria-label"]) > 40 for a in plots)


def test_links_lead_to_headings(page):
    targets = {attrs["id"] for attrs in page.named("h2")}
    assert {a["href"][1:] for a in page.named("a")} == targets


def test_figures_stand_in_the_page_as_json(page, zakharov):
    data = [json.loads(text) for text in page.scripts[:2]]
    assert data == [curve_figure(zakharov), progress_figure(zakharov)]


def test_plotly_is_inside_once(page):
    assert sum(len(text) > 1_000_000 for text in page.scripts) == 1


def test_hostile_texts_stay_texts(zakharov):
    evil = '</script><script>alert(1)</script><!-- & "'
    row = dataclasses.replace(zakharov.curves[0], label=evil)
    report = dataclasses.replace(zakharov, title=evil, curves=(row, *zakharov.curves[1:]))
    page = Page(render_html(report))
    assert page.open == []
    assert not any(text.startswith("alert") for text in page.scripts)
    assert "<" not in page.scripts[0]
    assert json.loads(page.scripts[0])["data"][1]["name"] == evil


def test_without_any_trial_there_is_no_script(studies):
    text = render_html(build_report(studies.zakharov_spec(), {}, {}))
    assert "<script" not in text
    assert "There is no answer yet" in text


def test_curves_are_log_log_with_bands_and_dashed_references(zakharov):
    figure = curve_figure(zakharov)
    assert figure["layout"]["xaxis"]["type"] == figure["layout"]["yaxis"]["type"] == "log"
    lines = {t["name"]: t for t in figure["data"] if "name" in t}
    assert lines["ECDSep"]["line"]["dash"] == "solid"
    assert lines["ECDSep (paper)"]["line"]["dash"] == "dash"
    assert lines["ECDSep"]["line"]["color"] == lines["ECDSep (paper)"]["line"]["color"]
    bands = [t for t in figure["data"] if t.get("fill") == "toself"]
    assert len(bands) == len(lines) == 4
    assert all(min(t["x"]) > 0 for t in figure["data"])


def test_accuracies_are_drawn_on_linear_axes(digits):
    layout = curve_figure(digits)["layout"]
    assert layout["xaxis"]["type"] == layout["yaxis"]["type"] == "linear"
    assert progress_figure(digits)["layout"]["yaxis"]["type"] == "linear"


def test_each_quantity_has_axes_of_its_own_and_a_line_one_name(digits):
    figure = curve_figure(digits)
    layout, lines = figure["layout"], [t for t in figure["data"] if "name" in t]
    axes = {name: layout[name]["title"]["text"] for name in layout if name.startswith("yaxis")}
    assert axes == {"yaxis": "validation accuracy", "yaxis2": "training loss"}
    assert [(t["name"], t.get("yaxis", "y"), t.get("showlegend", True)) for t in lines] == [
        ("ECDSep", "y", True),
        ("AdamW", "y", True),
        ("ECDSep", "y2", False),
        ("AdamW", "y2", False),
    ]
    assert layout["grid"] == {"rows": 2, "columns": 1, "pattern": "independent"}


def test_progress_draws_the_best_so_far(zakharov):
    trace = progress_figure(zakharov)["data"][0]
    assert trace["y"][-1] == zakharov.results[0].search_value
    assert trace["line"]["shape"] == "hv"
