"""The report's file in a real browser: its layout."""

import re
import shutil
from types import SimpleNamespace

import pytest

from ecd_tune.report import write_report

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH")
WIDTHS = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
COLOURS = """() => {
  const text = document.querySelector('.drawn svg text');
  return [getComputedStyle(text).fill, getComputedStyle(document.body).backgroundColor];
}"""

TOO_WIDE = """() => [...document.querySelectorAll('.scroll')]
  .filter(table => table.scrollWidth > table.clientWidth).map(table => table.ariaLabel)"""
ONE_WORD_A_LINE = """() => [...document.querySelectorAll('td span, tbody th')].filter(cell => {
  const range = document.createRange();
  range.selectNodeContents(cell);
  const lines = new Set([...range.getClientRects()].map(box => Math.round(box.top / 6))).size;
  const words = cell.textContent.trim().split(/\\s+/).length;
  return words > 1 && lines >= words;
}).map(cell => cell.textContent)"""

BAD_LABELS = """() => [...document.querySelectorAll('figure svg')].flatMap(svg => {
  const frame = svg.getBoundingClientRect();
  const labels = [...svg.querySelectorAll('text')].map(text => [
    text.textContent.trim(), text.getBoundingClientRect()]).filter(([text]) => text);
  const cut = ([text, box]) => box.left < frame.left - 1 || box.right > frame.right + 1
    || box.top < frame.top - 1 || box.bottom > frame.bottom + 1;
  const meet = ([, a], [, b]) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 2
    && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3;
  return labels.filter((label, i) => cut(label) || labels.slice(0, i).some(o => meet(o, label)))
    .map(([text]) => [svg.closest('figure').innerText.slice(0, 40), text]);
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
    yield SimpleNamespace(page=page, asked=asked, complaints=complaints)
    page.close()


def test_no_console_messages_and_no_requests(opened, address):
    assert opened.complaints == []
    assert [url for url in opened.asked if not url.startswith("data:")] == [address]


def test_figures_are_drawn_with_their_names(opened, zakharov):
    labels = opened.page.locator("#curves ~ .figures svg text").all_text_contents()
    assert {curve.label for curve in zakharov.curves} <= {label.strip() for label in labels}
    boxes = [box.bounding_box() for box in opened.page.locator(".drawn svg:visible").all()]
    assert len(boxes) == 4
    assert all(box["width"] > 300 and box["height"] > 100 for box in boxes)


def test_headings_stand_in_order(opened):
    levels = opened.page.eval_on_selector_all("h1, h2, h3, h4", "all => all.map(h => h.tagName)")
    assert levels == ["H1"] + ["H2"] * 10


def test_answer_and_results_are_on_the_first_screen(opened):
    bottom = opened.page.locator("#results ~ .scroll table").bounding_box()
    assert bottom["y"] + bottom["height"] <= 900


@pytest.mark.parametrize("width", [1400, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_horizontal_scrolling_and_sufficient_contrast(browser, address, width, scheme):
    # Without JavaScript, as in a mail or on a server that forbids it.
    context = browser.new_context(
        viewport={"width": width, "height": 844}, color_scheme=scheme, java_script_enabled=False
    )
    page = context.new_page()
    page.goto(address)
    content, window = page.evaluate(WIDTHS)
    assert content == window
    text, ground = (sum(map(int, re.findall(r"\d+", c)[:3])) for c in page.evaluate(COLOURS))
    assert abs(text - ground) > 400
    context.close()


def test_rows_are_cards_on_a_phone(browser, address):
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(address)
    cells = page.locator("#results ~ .scroll tbody td:visible").all()[:4]
    boxes = [cell.bounding_box() for cell in cells]
    assert all(box["width"] > 300 for box in boxes)
    assert [box["y"] for box in boxes] == sorted({box["y"] for box in boxes})
    # Fingerprints included, which are one word of 64 letters.
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert page.evaluate(TOO_WIDE) == []
    assert page.evaluate(ONE_WORD_A_LINE) == []
    page.close()


def test_labels_of_figures_neither_overlap_nor_are_cut_off(browser, searched, tmp_path):
    (path,) = write_report(searched, tmp_path, ("html",))
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.goto(path.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    names = page.locator("figcaption").all_text_contents()
    assert any("two most important" in name for name in names)
    assert page.evaluate(BAD_LABELS) == []
    page.close()
