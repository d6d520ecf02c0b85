"""A figure, and how it is written: SVG for files and pages, PDF, PNG."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import matplotlib
from matplotlib.figure import Figure

from ecd_tune.report.render.figures.parts.style import BEHIND, GRID, INK, PALETTE, SOFT, drawing

__all__ = ["Drawn", "compact_svg", "inline_svg", "to_pdf", "to_png", "to_svg"]

_METADATA = ("Date", "Creator", "Format", "Type")
_DIGITS = re.compile(r"-?\d+\.\d{3,}")
_USES = re.compile(r'(<g[^>]*)>\s*((?:<use [^>]*style="([^"]*)"/>\s*)+)</g>')
_CIRCLE = re.compile(r'<path id="(\w+)" d="M 0 ([\d.]+) \s*(?:C [-\d. ]+\s*){8}z\s*"')
_DOTS = re.compile(
    r'<g([^>]*) style="fill(: [^";]+)((?:; fill-opacity: [\d.]+)?)">((?:<use [^>]*/>\s*)+)</g>'
)
_DOT = re.compile(r'<use href="#(\w+)" x="([-\d.]+)" y="([-\d.]+)"/>')
_IDLE = re.compile(r"font-family: [^;\"]*; | transform=\"rotate\(-0 [^\"]*\"")
_MANY = 30
"""Dots from which on they are one path in a page; fewer ones darken where they overlap."""
_VARIABLES = {
    INK: "currentColor",
    GRID: "var(--line)",
    SOFT: "var(--soft)",
    BEHIND: "var(--behind)",
    **{colour: f"var(--c{i})" for i, colour in enumerate(PALETTE)},
}


@dataclass(frozen=True)
class Drawn:
    """A figure.

    Attributes:
        name: Unique in the report; its files are called so.
        section: Anchor of its section.
        caption: Its caption.
        words: The same for those who cannot see it, with its main numbers.
        figure: Matplotlib's.
        aside: Whether pages fold it away.
    """

    name: str
    section: str
    caption: str
    words: str
    figure: Figure
    aside: bool = False

    @cached_property
    def svg(self) -> str:
        """An SVG document that is the same each time, on a transparent ground."""
        stream = io.StringIO()
        with drawing():
            # Names of clip paths and markers depend on it: unique in a page, always the same.
            matplotlib.rcParams["svg.hashsalt"] = self.name
            self.figure.savefig(stream, format="svg", metadata=dict.fromkeys(_METADATA))
        text = re.sub(r"<metadata>.*?</metadata>", "", stream.getvalue(), flags=re.S)
        text = re.sub(r"<!--.*?-->\s*|<!DOCTYPE[^>]*>\s*", "", text, flags=re.S)
        # Coordinates to .01 pt; the texts between the tags stay as they are.
        text = re.sub(r"<[^>]*>", lambda tag: _DIGITS.sub(_round, tag[0]), text)
        # Markers of one line have one style, which is written once.
        text = _USES.sub(_hoist, text)
        used = set(re.findall(r"#([\w.-]+)", text))
        return re.sub(r' id="([^"]+)"', lambda m: m[0] if m[1] in used else "", text)


def to_svg(drawn: Drawn) -> str:
    """Write a figure as an SVG file that is the same each time.

    Args:
        drawn: The figure.

    Returns:
        The text of the file.
    """
    text = drawn.svg
    # As a file it has its own background.
    return text.replace("<defs>", '<rect width="100%" height="100%" fill="#ffffff"/>\n<defs>', 1)


def inline_svg(drawn: Drawn) -> str:
    """Write a figure as an element of a page, in the page's colours and font.

    Args:
        drawn: The figure.

    Returns:
        An ``svg`` element without its own namespace.
    """
    text = compact_svg(drawn.svg)
    text = text[text.index("<svg") :]
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, variable)
    size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text)
    box = size.group(0) if size else ""
    return re.sub(r"<svg[^>]*>", f'<svg {box} aria-hidden="true">', text, count=1)


def compact_svg(text: str) -> str:
    """Shorten a figure: without fonts, without rotations of texts that lie flat, dots as paths.

    Args:
        text: Of an SVG document.

    Returns:
        The same drawing, in the font of the place where it stands.
    """
    text = re.sub(r"<[^>]*>", lambda tag: _IDLE.sub("", tag[0]), text)
    radius = {name: float(found) for name, found in _CIRCLE.findall(text)}
    text = _DOTS.sub(lambda group: _join_dots(group, radius), text)
    return re.sub(r"\s*\n\s*", "\n", text)


def _join_dots(group: re.Match[str], radius: Mapping[str, float]) -> str:
    """Write dots as one path of strokes without length and with round ends, an eighth in size."""
    dots = _DOT.findall(group[4])
    marker = dots[0][0] if dots else ""
    if len(dots) <= _MANY or marker not in radius or len({name for name, _, _ in dots}) > 1:
        return group[0]
    path = "".join(f"M{x} {y}h0" for _, x, y in dots)
    opacity = group[3].replace("fill", "stroke")
    round_ends = f"stroke-width: {2 * radius[marker]:g}; stroke-linecap: round"
    return f'<path{group[1]} d="{path}" style="stroke{group[2]}{opacity}; {round_ends}"/>'


def _round(found: re.Match[str]) -> str:
    return f"{float(found[0]):.2f}".rstrip("0").rstrip(".")


def _hoist(found: re.Match[str]) -> str:
    head, uses, style = found.groups()
    if uses.count(f'style="{style}"') != uses.count("<use"):
        return found[0]
    uses = uses.replace(f' style="{style}"', "").replace("xlink:href", "href")
    return f'{head} style="{style}">{uses}</g>'


def to_pdf(drawn: Drawn) -> bytes:
    """Write a figure as a PDF file, with fonts inside and no date."""
    stream = io.BytesIO()
    with drawing():
        drawn.figure.savefig(stream, format="pdf", metadata={"CreationDate": None})
    return stream.getvalue()


def to_png(drawn: Drawn) -> bytes:
    """Write a figure as a PNG file of 300 dots an inch on white."""
    stream = io.BytesIO()
    with drawing():
        drawn.figure.savefig(
            stream, format="png", dpi=300, facecolor="white", metadata={"Software": None}
        )
    return stream.getvalue()
