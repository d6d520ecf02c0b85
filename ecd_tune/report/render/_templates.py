"""The Jinja2 environment of the package's templates."""

from __future__ import annotations

import re
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

__all__ = ["environment"]

_WHOLE = re.compile(r"\[[-+×\d.e, ]{3,30}\]|-?[\d.]+e[-+]\d+")


@cache
def environment() -> Environment:
    """Return the environment: everything escaped, an unknown name is an error."""
    made = Environment(
        loader=PackageLoader("ecd_tune.report.render", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["unbroken"] = _keep_numbers
    return made


def _keep_numbers(text: str) -> Markup:
    # Browsers break lines after a hyphen, and 5.7e-09 has one; intervals stay in one piece too.
    return Markup(_WHOLE.sub(r'<span class="number">\g<0></span>', str(escape(text))))
