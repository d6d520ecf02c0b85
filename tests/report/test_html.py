import dataclasses
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from ecd_tune.records import RunCost
from ecd_tune.report import build_report, render_html
from ecd_tune.report.render.figures.everything import draw_figures

VOID = {"meta", "link", "br", "img"}


class Page(HTMLParser):
    """Collects elements and texts, and checks that they nest."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.texts = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def named(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


@pytest.fixture(scope="module")
def text(zakharov):
    return render_html(zakharov, draw_figures(zakharov))


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def test_elements_nest(page):
    assert page.open == []


def test_no_external_resources_and_no_scripts(page):
    assert not any("src" in attrs or "srcset" in attrs for _, attrs in page.elements)
    assert [a["href"] for a in page.named("link")] == ["data:,"]
    assert all(a["href"].startswith("#") for a in page.named("a") + page.named("use"))
    (policy,) = [a["content"] for a in page.named("meta") if "http-equiv" in a]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert page.named("script") == []


def test_page_is_small(text):
    assert len(text.encode()) < 600_000


@pytest.mark.slow
def test_seven_optimizers_with_all_their_figures_are_small(studies):
    keys = ["adam", "adamw", *(f"sgd{i}" for i in range(5))]
    names = {
        "lr": {"low": 1e-4, "high": 1.0, "log": True},
        "weight_decay": {"low": 1e-6, "high": 1e-2, "log": True},
    }
    names |= {"beta1": {"low": 0.5, "high": 0.99}, "beta2": {"low": 0.9, "high": 0.999}}
    sgd = {**{n: names[n] for n in ("lr", "weight_decay")}, "momentum": {"low": 0.1, "high": 0.9}}
    optimizers = {
        key: {"optimizer": key[:3] if key.startswith("sgd") else key,
              "space": sgd if key.startswith("sgd") else names}
        for key in keys
    }  # fmt: skip
    spec = studies.digits_spec(
        optimizers=optimizers, budget={"trials": 500, "steps": 10}, confirmation={"runs": 0}
    )
    rng = np.random.default_rng(0)
    trials = {}
    for key, optimizer in spec.optimizers.items():
        points = [optimizer.space.draw(rng) for _ in range(500)]
        trials[spec.key(key)] = [
            studies.record(
                spec.key(key),
                i,
                0.98 - 0.02 * abs(math.log10(point["lr"]) + 2) - 0.01 * float(rng.random()),
                params=point,
                cost=RunCost(1.0 + i % 9, "cpu"),
            )
            for i, point in enumerate(points)
        ]
    report = build_report(spec, trials, {})
    figures = draw_figures(report)
    assert {f"{kind}-{key}" for kind in ("slices", "contour", "parallel") for key in keys} < {
        figure.name for figure in figures
    }
    assert all(len(entry.rows) >= 3 for entry in report.sensitivity)
    size = len(render_html(report, figures).encode())
    assert 300_000 < size < 600_000


def test_ids_are_unique_and_defined(page):
    names = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(names) == len(set(names))
    used = {m for _, attrs in page.elements for v in attrs.values() for m in _references(v)}
    assert used <= set(names)


def _references(value):
    return re.findall(r"(?:url\(|^)#([\w.-]+)", value or "")


def test_page_is_accessible(page):
    assert page.named("html") == [{"lang": "en"}]
    assert len(page.named("h1")) == 1
    assert len(page.named("table")) == len(page.named("caption")) >= 7
    assert all("scope" in attrs for attrs in page.named("th"))
    drawn = [a for a in page.named("div") if a.get("class") == "drawn"]
    assert len(drawn) == len(page.named("figcaption")) == len(page.named("svg")) == 10
    assert all(a["role"] == "img" and len(a["aria-label"]) > 40 for a in drawn)


def test_links_lead_to_headings(page):
    targets = {attrs["id"] for attrs in page.named("h2")}
    assert {a["href"][1:] for a in page.named("a")} == targets


def test_figures_use_the_colours_of_the_page(text):
    drawn = "".join(re.findall(r"<svg.*?</svg>", text, flags=re.S))
    assert "var(--c0)" in drawn
    assert "currentColor" in drawn
    assert not re.search(r"#(?:[0-9a-f]{6})\b(?!\w)", drawn.replace("#ffffff", ""))


def test_hostile_texts_are_escaped(zakharov):
    evil = '</svg></script><script>alert(1)</script><!-- & " $x_{1}$'
    row = dataclasses.replace(zakharov.curves[0], label=evil)
    report = dataclasses.replace(zakharov, title=evil, curves=(row, *zakharov.curves[1:]))
    page = Page(render_html(report, draw_figures(report)))
    assert page.open == []
    assert page.named("script") == []
    assert evil in page.texts
    assert any(evil in part.strip() for part in page.texts[10:])


def test_without_any_trial_there_is_no_figure(studies):
    report = build_report(studies.zakharov_spec(), {}, {})
    assert draw_figures(report) == ()
    text = render_html(report)
    assert "<svg" not in text
    assert "There is no answer yet" in text
