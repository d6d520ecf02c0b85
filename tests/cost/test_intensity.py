"""Carbon intensities by region and as given."""

import pytest

from ecd_tune.cost import find_intensity, known_regions
from ecd_tune.errors import SpecError


def test_world_average_is_the_default():
    found = find_intensity()
    assert found.kg_per_kwh == 0.475
    assert "sets none" in found.origin


def test_country_code_is_accepted():
    # Nuclear and coal: the order is no matter of a few grams.
    france, poland = find_intensity("FRA"), find_intensity("POL")
    assert france.kg_per_kwh == 0.056
    assert france.origin == "average of France, 2023"
    assert poland.kg_per_kwh > 5 * france.kg_per_kwh


def test_given_intensity_overrides_the_region():
    assert find_intensity("FRA", 0.25).kg_per_kwh == 0.25


@pytest.mark.parametrize(
    ("region", "hint"), [("france", "France is FRA"), ("fra", "France is FRA"), ("FR", "")]
)
def test_an_unknown_region_is_refused_with_what_is_allowed(region, hint):
    with pytest.raises(
        SpecError, match=rf"'{region}' is not a known region.*{hint}.*three-letter.*WORLD"
    ):
        find_intensity(region)


def test_every_row_of_the_table_is_valid():
    assert len(known_regions()) == 214
    for region in known_regions():
        found = find_intensity(region)
        assert 0 <= found.kg_per_kwh < 1.5, region
        assert found.origin.startswith("average of "), region
