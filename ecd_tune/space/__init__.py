"""Search spaces: dimensions, and how they are drawn, checked and described."""

from ecd_tune.space.conditions import Zero
from ecd_tune.space.derived import DERIVED, RESOLVED, Derived, resolve, searchable
from ecd_tune.space.dimensions import Choice, Dimension, Fixed, Float, Int
from ecd_tune.space.parse import parse_dimension, parse_space
from ecd_tune.space.priors import Prior
from ecd_tune.space.space import Space, Suggester

__all__ = [
    "DERIVED",
    "RESOLVED",
    "Choice",
    "Derived",
    "Dimension",
    "Fixed",
    "Float",
    "Int",
    "Prior",
    "Space",
    "Suggester",
    "Zero",
    "parse_dimension",
    "parse_space",
    "resolve",
    "searchable",
]
