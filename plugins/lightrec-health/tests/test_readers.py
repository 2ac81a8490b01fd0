"""Recipes with health scores: by hand, broken, and the real files."""

import pytest
from lightrec_health.readers import FoodReader, HealthSets
from lightrec_testing import ReaderChecks, check_all

from lightrec.errors import DataError

HEAD = (
    "recipe_id,title,calories,totalFat,saturatedFat,sugars,sodium,protein,who_score,"
    "who_normalized,health_category,tags,ingredients,duration,health_score\n"
)
RATINGS = "Unnamed: 0,member_id,recipe_id,rating,rating_normalized\n"
CAKE = (
    "7,Cake,500,24,9.4,30,100,8,.2,.4,unhealthy,\"['sweet']\","
    "\"{'': [('large eggs', '2'), ('flour', '1')]}\",60,0.4\n"
)
BEANS = "8,Beans,200,2,1,3,800,8,.3,.9,healthy,,\"{'': [('beans', '2')]}\",,0.9\n"


@pytest.fixture
def small(tmp_path):
    folder = tmp_path / "food"
    folder.mkdir()
    (folder / "recipes.csv").write_text(HEAD + CAKE + BEANS)
    for number, name in enumerate(("train", "val", "test")):
        row = f"{number},m{number},{7 + number % 2},{number + 2.5},0\n"
        (folder / f"{name}_ratings.csv").write_text(RATINGS + row)
    return folder


def test_by_hand(small):
    for path in (small, small / "val_ratings.csv"):
        check_all(ReaderChecks(FoodReader, path))
    tables = FoodReader().read(small)
    events = tables.log.events.select("user", "item", "value").rows()
    assert events == [("m0", "7", 2.5), ("m1", "8", 3.5), ("m2", "7", 4.5)]
    cake, beans = tables.catalog.rows.iter_rows(named=True)
    assert (cake["allergens"], beans["allergens"]) == (["gluten", "eggs"], ["none"])
    assert cake["contraindications"] == ["diabetes", "high cholesterol"]
    assert beans["contraindications"] == ["hypertension"]
    assert cake["ingredients"] == ["large eggs", "flour"]
    assert (cake["tags"], beans["tags"]) == (["sweet"], None)
    assert (cake["health_score"], beans["minutes"]) == (0.4, None)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (CAKE.replace("0.4\n", "4\n"), "Line 2, column 'health_score': '4' is not a number"),
        (CAKE.replace("500", "many"), "Line 2, column 'calories': 'many' is not a number"),
        (CAKE.replace("'2')", "'2'"), "Line 2, column 'ingredients'.* is not a list as Python"),
    ],
)
def test_what_is_broken_is_named(small, row, message):
    (small / "recipes.csv").write_text(HEAD + row)
    with pytest.raises(DataError, match=message):
        FoodReader().read(small)


def test_the_real_files(lightrec_data):
    tables = FoodReader().read(lightrec_data / "food-who-health")
    assert (len(tables.log), tables.catalog.rows.height) == (28491, 281)
    assert tables.log.events["user"].n_unique() == 17208
    score = tables.catalog.rows["health_score"]
    assert (score.min(), score.max()) == pytest.approx((0.030378, 0.970195), abs=1e-6)
    held = tables.catalog.rows["allergens"].to_list()
    assert sum("unknown" in each for each in held) < 140
    assert sum(not {"milk", "unknown"} & {*each} for each in held) > 40
    assert sum("nuts" not in each and "unknown" not in each for each in held) > 120


def test_decisions_have_the_probability_of_what_was_decided(tmp_path):
    path = tmp_path / "decisions.csv"
    path.write_text(
        "user_id,user_decision_t,decision_time,action,prob,quality\n"
        "u1,0,2023-03-10 07:30:00,1,0.4,95\nu1,1,2023-03-10 17:00:00,0,0.3,0\n"
    )
    check_all(ReaderChecks(HealthSets, path))
    rows = HealthSets().read(path).log.events.select("item", "value", "propensity").rows()
    assert rows == [("prompt", 95, 0.4), ("none", 0, 0.7)]
    path.write_text(path.read_text().replace(",1,0.4", ",yes,0.4"))
    with pytest.raises(DataError, match="Line 2 has no item"):
        HealthSets().read(path)
