"""Recommending with a finished run."""

import polars as pl
import pytest

from lightrec.__main__ import main
from lightrec.errors import RecipeError
from lightrec.recommend import load


@pytest.fixture(scope="module")
def recommender(tiny_run):
    return load(tiny_run)


def seen(recommender, user):
    row = recommender.store.user_ids.to_list().index(user)
    start, end = recommender.store.offsets[row : row + 2]
    return {recommender.catalog["item"][int(i) - 1] for i in recommender.store.items[start:end]}


def test_a_known_user_gets_unseen_items_best_first(recommender):
    table = recommender.recommend("u3", k=5)
    assert table.columns == ["rank", "item", "title", "score"]
    assert table["rank"].to_list() == [1, 2, 3, 4, 5]
    assert table["score"].is_sorted(descending=True)
    assert not seen(recommender, "u3") & set(table["item"])


def test_a_history_of_titles_stands_for_a_user(recommender):
    row = recommender.store.user_ids.to_list().index("u3")
    start, end = recommender.store.offsets[row : row + 2]
    titles = [recommender.catalog["title"][int(i) - 1] for i in recommender.store.items[start:end]]
    by_history = recommender.recommend(history=titles, k=5)
    assert by_history.equals(recommender.recommend("u3", k=5))


def test_everybody_gets_what_each_would_get_alone(recommender):
    table = pl.concat(recommender.recommend_all(k=3, batch_size=7))
    assert table.height == 3 * recommender.store.num_users
    for user in ("u0", "u17", "u59"):
        own = table.filter(pl.col("user") == user).drop("user")
        alone = recommender.recommend(user, k=3)
        assert own["item"].to_list() == alone["item"].to_list()


def test_only_and_exclude(recommender):
    lamps = recommender.recommend(history=[], k=100, only=["kind=lamp"])
    assert lamps.height == 12
    assert all(title.startswith("lamp") for title in lamps["title"])
    less = recommender.recommend(
        history=[], k=100, only=["kind=lamp"], exclude=["lamp number 3", "i25"]
    )
    assert set(lamps["item"]) - set(less["item"]) == {"i27", "i25"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"user": "nobody"}, "no user 'nobody'"),
        ({"history": ["lamp nmber 3"]}, "Did you mean: lamp number 3"),
        ({"history": ["lamp"]}, "fits several items"),
        ({"history": [], "only": ["kind=sword"]}, "Nothing is left"),
        ({}, "either a user of the log or a history"),
    ],
)
def test_mistakes_are_told(recommender, arguments, told):
    with pytest.raises(RecipeError, match=told):
        recommender.recommend(**arguments)


def test_the_command_prints_a_table_and_writes_files(tiny_run, tmp_path, capsys):
    assert main(["recommend", str(tiny_run), "--user", "u3", "-k", "4"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert "number" in lines[1]
    out = tmp_path / "recs.parquet"
    assert main(["recommend", str(tiny_run), "--all", "-k", "2", "--out", str(out)]) == 0
    assert pl.read_parquet(out).height == 120


def test_predictions_are_ranked_by_the_same_protocol(tiny_run, tmp_path, capsys):
    store = load(tiny_run).store
    truth = tmp_path / "mine.csv"
    rows = ["user,item,score"]
    for row, user in enumerate(store.user_ids):
        rows.append(
            f"{user},{store.catalog['item'][int(store.items[store.offsets[row + 1] - 1]) - 1]},1"
        )
    truth.write_text("\n".join(rows) + "\n")
    assert main(["evaluate", str(tiny_run), "--predictions", str(truth)]) == 0
    own = next(x for x in capsys.readouterr().out.splitlines() if x.startswith("your predictions"))
    assert own.split()[-3:] == ["1.000", "1.000", "1.000"]
    truth.write_text("who,what\n1,2\n")
    assert main(["evaluate", str(tiny_run), "--predictions", str(truth)]) == 2
    assert "No column was recognised as user" in capsys.readouterr().err
