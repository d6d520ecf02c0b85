"""The report's file in a real browser: what only one that runs the script and lays out can show."""

import shutil
from types import SimpleNamespace

import pytest

from ecd_tune.report import write_report

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH")
DRAWN = "document.querySelectorAll('.plot .legend .legendtext').length > 0"
LEGEND = "plot => [...plot.querySelectorAll('.legendtext')].map(text => text.textContent)"
WIDTHS = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
BOXES = """plot => ['.legend', '.xtitle'].map(name => {
  const box = plot.querySelector(name).getBoundingClientRect();
  return [box.top, box.bottom];
})"""


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def address(zakharov, tmp_path_factory):
    (path,) = write_report(zakharov, tmp_path_factory.mktemp("report"), ("html",))
    return path.as_uri()


@pytest.fixture(scope="module")
def opened(browser, address):
    """The page at the width of a desk, with all that it asked for and complained of."""
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    asked, complaints = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda message: (
            complaints.append(message.text) if message.type in {"error", "warning"} else None
        ),
    )
    page.goto(address)
    page.wait_for_function(DRAWN)
    page.wait_for_selector("#plot-progress .legendtext")
    yield SimpleNamespace(page=page, asked=asked, complaints=complaints)
    page.close()


def test_it_is_silent_and_asks_for_nothing_else(opened, address):
    assert opened.complaints == []
    assert [url for url in opened.asked if not url.startswith("data:")] == [address]


def test_both_figures_are_drawn_with_their_names(opened, zakharov):
    curves = opened.page.eval_on_selector("#plot-curves", LEGEND)
    assert curves == [curve.label for curve in zakharov.curves]
    progress = opened.page.eval_on_selector("#plot-progress", LEGEND)
    assert progress == [row.title for row in zakharov.progress]
    for name, lines in (("curves", len(curves)), ("progress", len(progress))):
        assert opened.page.locator(f"#plot-{name} svg.main-svg").count() >= 1
        assert opened.page.locator(f"#plot-{name} .scatterlayer path.js-line").count() >= lines


def test_headings_stand_in_order(opened):
    levels = opened.page.eval_on_selector_all("h1, h2, h3, h4", "all => all.map(h => h.tagName)")
    assert levels == ["H1"] + ["H2"] * 10


def test_answer_and_results_are_on_the_first_screen(opened):
    bottom = opened.page.locator("#results ~ .scroll table").bounding_box()
    assert bottom["y"] + bottom["height"] <= 900


def fits(page):
    content, window = page.evaluate(WIDTHS)
    assert content == window
    for name in ("curves", "progress"):
        legend, title = page.eval_on_selector(f"#plot-{name}", BOXES)
        assert title[1] <= legend[0]


def test_nothing_scrolls_sideways_or_overlaps(opened):
    fits(opened.page)


def test_nothing_scrolls_sideways_or_overlaps_on_a_telephone(browser, address):
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(address)
    page.wait_for_selector("#plot-progress .legendtext")
    fits(page)
    page.close()
