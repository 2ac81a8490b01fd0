"""Recipes with health scores: one part, broken, and the real files."""

import pytest
from lightrec_formats.described import described, write_example
from lightrec_health.readers import HealthSets
from lightrec_testing import ReaderChecks, check_all

from lightrec.errors import DataError


@pytest.fixture
def recipes(tmp_path):
    (folder := tmp_path / "food").mkdir()
    return write_example(described(HealthSets.descriptions)["food-who-health"], folder)


def test_one_part_of_the_ratings(recipes):
    file = recipes / "val_ratings.csv"
    check_all(ReaderChecks(HealthSets, file))
    tables = HealthSets().read(file)
    assert tables.log.events.select("user", "item", "value").rows() == [("m1", "8", 3.5)]
    assert tables.catalog.rows["allergens"].to_list() == [["gluten", "eggs"], ["none"]]
    file.write_text(file.read_text().replace("3.5", "good"))
    with pytest.raises(DataError, match=r"val_ratings.csv: Line 2, column 'value': 'good' is not"):
        HealthSets().read(file)


def test_a_recipe_is_bad_for_nothing_or_that_is_not_known(recipes):
    file = recipes / "recipes.csv"
    text = file.read_text().replace("9.4,30,100", "6,27,720").replace("1,3,800", "1,,800")
    file.write_text(text)
    rows = HealthSets().read(recipes).catalog.rows
    assert rows["contraindications"].to_list() == [["none"], None]


@pytest.mark.parametrize(
    ("good", "bad", "message"),
    [
        ("60,0.4", "60,4", "recipes.csv: not as .* 'health_score' .*4 is not from 0 to 1"),
        ("500", "many", r"'food-who-health' was published .https.* 'calories' .*many"),
        ("'2')", "'2'", "Row 1, column 'ingredients'.* is not a list as Python"),
        ("['sweet']", "sweet", "Row 1, column 'tags': 'sweet' is not a list as Python"),
    ],
)
def test_what_is_broken_is_named(recipes, good, bad, message):
    file = recipes / "recipes.csv"
    file.write_text(file.read_text().replace(good, bad, 1))
    with pytest.raises(DataError, match=message):
        HealthSets().read(recipes)


def test_the_real_files(lightrec_data):
    tables = HealthSets().read(lightrec_data / "food-who-health")
    assert (len(tables.log), tables.catalog.rows.height) == (28491, 281)
    assert tables.log.events["user"].n_unique() == 17208
    score = tables.catalog.rows["health_score"]
    assert (score.min(), score.max()) == pytest.approx((0.030378, 0.970195), abs=1e-6)
    held = tables.catalog.rows["allergens"].to_list()
    assert sum("unknown" in each for each in held) < 140
    assert sum(not {"milk", "unknown"} & {*each} for each in held) > 40
    assert sum("nuts" not in each and "unknown" not in each for each in held) > 120


def test_a_decision_is_one_of_two(tmp_path):
    sets = described(HealthSets.descriptions)
    file = write_example(sets["oralytics"], tmp_path) / "decisions.csv"
    check_all(ReaderChecks(HealthSets, file))
    file.write_text(file.read_text().replace(",1,0.49", ",yes,0.49"))
    with pytest.raises(DataError, match="Line 2 has no item"):
        HealthSets().read(file)
