"""Recommending with a finished run."""

import copy
import json
import re
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch
from lightrec_testing import tiny

from lightrec import plugins
from lightrec.__main__ import main
from lightrec.data.readers.predictions import read_predictions
from lightrec.data.sequences import Sequences
from lightrec.errors import PluginError, RecipeError
from lightrec.evaluation.predictions import evaluate_predictions
from lightrec.recommend import load
from lightrec.run import Run
from lightrec.stages.run import run
from tests.beside import needs


@pytest.fixture(scope="module")
def recommender(tiny_run):
    return load(tiny_run)


def seen(recommender, user):
    row = recommender.store.user_ids.to_list().index(user)
    start, end = recommender.store.offsets[row : row + 2]
    return {recommender.catalog["item"][int(i) - 1] for i in recommender.store.items[start:end]}


def test_users_get_unseen_items_best_first_alone_or_with_everybody(recommender):
    everybody = pl.concat(recommender.recommend_all(k=5, batch_size=7))
    assert everybody.height == 5 * recommender.store.num_users
    for user in ("u3", "u17", "u59"):
        table = recommender.recommend(user, k=5)
        assert table.columns == ["rank", "item", "title", "score"]
        assert table["rank"].to_list() == [1, 2, 3, 4, 5]
        assert table["score"].is_sorted(descending=True)
        assert not seen(recommender, user) & set(table["item"])
        assert everybody.filter(user=user)["item"].equals(table["item"])


def test_discoveries_are_what_was_not_met_even_where_items_come_again(recommender, monkeypatch):
    nothing = lambda self, starts, ends: np.zeros((len(starts), 1), np.int64)  # noqa: E731
    monkeypatch.setattr(Sequences, "known", nothing)
    count = recommender.store.num_items
    before = seen(recommender, "u3")
    assert before < set(recommender.recommend("u3", k=count)["item"])
    new = recommender.recommend("u3", k=count, discover=True)["item"]
    assert set(new) == set(recommender.catalog["item"]) - before
    lists = pl.concat(recommender.recommend_all(k=count, discover=True))
    assert lists.filter(user="u3")["item"].to_list() == new.to_list()


@pytest.mark.parametrize("places", [{"new": 4}, {"explore": 1.0}], ids=str)
def test_places_for_new_items_show_none_that_was_seen_or_is_not_wanted(
    recommender, monkeypatch, places
):
    # New to the item models, but not to this person: what they have just told, or its events are
    # held out.
    new = [*sorted(seen(recommender, "u3"))[:2], "i1", "i2", "i3"]
    assert not {"i1", "i2", "i3"} & seen(recommender, "u3")
    numbers = [recommender.item(item) for item in new]
    fresh = torch.full((1, recommender.store.num_items + 1), -torch.inf)
    fresh[0, numbers] = torch.tensor([5.0, 4, 3, 2, 1])
    mapped = SimpleNamespace(scores=lambda scores, histories: fresh)
    monkeypatch.setitem(vars(recommender.run), "text_map", mapped)
    wishes = {"k": 4, "exclude": ["i2"], **places}
    shown = {*recommender.recommend("u3", history=["i3"], **wishes)["item"]}
    assert "i1" in shown
    assert not {*new[:2], "i2", "i3"} & shown
    shown = {*pl.concat(recommender.recommend_all(**wishes)).filter(user="u3")["item"]}
    assert {"i1", "i3"} < shown
    assert not {*new[:2], "i2"} & shown


def test_a_length_that_is_none_is_refused_and_a_list_is_no_longer_than_the_catalog(recommender):
    for k in (0, True, 2.5, "5"):
        with pytest.raises(RecipeError, match=re.escape(f"1 or more, and not {k!r}.")):
            recommender.length(k)
    assert recommender.recommend("u3", k=10**30).height == tiny.ITEMS - tiny.STEPS
    assert recommender.recommend(history=[], k=10**30).height == tiny.ITEMS
    assert recommender.similar("i3", k=10**30).height == tiny.ITEMS - 1


def test_similar_items_leave_out_the_item_and_keep_to_wishes(recommender, tiny_run, capsys):
    table = recommender.similar("lamp number 1", k=4, only=["kind=lamp"])
    assert table.height == 4
    assert table["title"].str.starts_with("lamp").all()
    assert "lamp number 1" not in table["title"]
    assert table["score"].is_sorted(descending=True)
    assert main(["similar", str(tiny_run), "lamp number 1", "-k", "4", "--only", "kind=lamp"]) == 0
    assert table["title"][3] in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"user": "nobody"}, "no user 'nobody'"),
        ({"history": ["lamp nmber 33"]}, "no item 'lamp nmber 33'. Did you mean lamp number 3, id"),
        ({"history": [], "only": "knd=lamp"}, "'knd' is not an attribute .* mean 'kind'"),
        ({"history": [], "only": "kind=lamp and kind!=lamp"}, "to recommend: kind=lamp leaves"),
        ({}, "a user of the log, a history, a profile or a request"),
    ],
)
def test_mistakes_are_told(recommender, arguments, message):
    with pytest.raises(RecipeError, match=message):
        recommender.recommend(**arguments)


@needs("rules")
def test_wishes_join_a_history_or_stand_alone(recommender, tiny_run, capsys):
    with pytest.raises(RecipeError, match=r"No item knows any of the words .* such as lamp, rope"):
        recommender.recommend("u3", ask="sofa")
    assert recommender.recommend(ask="tea", k=12)["title"].str.starts_with("tea").all()
    assert recommender.ranked_by == "wish"
    table = recommender.recommend("u3", ask="tea rope", k=48)
    plain = recommender.recommend("u3", k=48)
    teas, before = (each.filter(pl.col("title").str.starts_with("tea")) for each in (table, plain))
    assert teas["rank"].mean() < before["rank"].mean()
    assert set(table["title"]) == set(plain["title"])
    everybody = pl.concat(recommender.recommend_all(ask="tea rope", k=48))
    assert everybody.filter(user="u3")["item"].equals(table["item"])
    line = ["recommend", str(tiny_run), "--ask", "TEA number 3", "-k", "2"]
    assert main([*line, "--by", "policy"]) == 2
    assert "leave out --by policy" in capsys.readouterr().err


FORMULA_USER = pl.col("customer").replace("u5", "=1+1")
FORMULA_TITLE = pl.col("title").replace("tea number 1", '=HYPERLINK("http://x", "tea")')


@pytest.fixture(scope="module")
def detailed(tmp_path_factory):
    """A run over the tiny log, of which every third event is a like, up to its ranker.

    One user and one title look like formulas of a spreadsheet.
    """
    folder = tmp_path_factory.mktemp("detailed")
    log, items = tiny.write_log(folder)
    likes = pl.int_range(pl.len()) % 3 == 0
    kinds = pl.when(likes).then(pl.lit("like")).otherwise(pl.lit("play"))
    events = pl.read_csv(log).with_columns(feedback=kinds, customer=FORMULA_USER)
    events.write_csv(log)
    pl.read_csv(items).with_columns(title=FORMULA_TITLE).write_csv(items)
    settings = ["--model.init_args.use_feedback=true", "--model.init_args.use_gaps=true"]
    words = tiny.FAST | {"ranker": [*tiny.FAST["ranker"], *settings]}
    inputs = {"out": folder / "run", "log": log, "items": items, "until": "ranker"}
    return load(run("generic", **inputs, overrides=words))


def test_a_user_of_the_log_brings_feedback_and_gaps(detailed):
    store, blend = detailed.store, detailed.model
    assert sorted(store.feedback_kinds) == ["like", "play"]
    assert blend.ranker.feedback.shape[0] == 3
    row = store.user_ids.to_list().index("u3")
    begin, end = store.offsets[row : row + 2]
    minutes = [int(t) // 60_000 for t in np.diff(store.times[begin:end])]
    details = {
        "feedback": torch.from_numpy(store.feedback[begin:end].astype(int))[None],
        "gap": torch.tensor([[0, *(min(1 + m.bit_length(), 21) for m in minutes)]]),
    }
    history = torch.from_numpy(store.items[begin:end].astype(int))[None]
    with torch.no_grad():
        scores, bare = blend.scores(history, details=details), blend.scores(history)
    assert not torch.allclose(scores[:, 1:], bare[:, 1:])
    titles = [detailed.catalog["title"][int(i) - 1] for i in history[0]]
    everybody = pl.concat(detailed.recommend_all(k=5, batch_size=7))
    for table, expected in (
        (detailed.recommend("u3", k=5), scores),
        (detailed.recommend(history=titles, k=5), bare),
        (everybody.filter(user="u3"), scores),
    ):
        best = expected[0].scatter(0, history[0], -torch.inf).topk(5)
        assert table["item"].equals(detailed.catalog["item"].gather(best.indices - 1))
        assert table["score"].to_list() == pytest.approx(best.values.tolist(), abs=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("by", ["mixture", "even-mixture"])
def test_a_mixture_adds_what_user_model_a_likes(tiny_run, by):
    recommender, run = load(tiny_run, by=by), Run(tiny_run)
    assert (recommender.by, recommender.reason) == (by, "It was asked for.")
    known = recommender.person("u3").known
    history, user = known["history"], known["user"]
    liked = run.users_a.scores(history, user)
    if by == "mixture":
        weight = run.metrics()["simulator/mixture/weight"]
        expected = run.served.scores(history, user, details=known) + weight * liked
    else:
        recent = history[:, -run.users_a.choice.history_length :]
        expected = run.served.ranker.scores(recent) + liked
    best = expected[:, 1:].scatter(1, history - 1, -torch.inf).topk(5)
    items = [recommender.catalog["item"][place] for place in best.indices[0].tolist()]
    alone, everybody = recommender.recommend("u3", k=5), pl.concat(recommender.recommend_all(k=5))
    for table in (alone, everybody.filter(user="u3")):
        assert table["item"].to_list() == items
        assert table["score"].to_list() == pytest.approx(best.values[0].tolist(), abs=1e-4)


def test_an_installed_policy_ranks_by_its_name(tiny_run, monkeypatch):
    path = "lightrec.policies.baselines:PopularityPolicy"
    part = plugins.Part("top", "rankers", path, "shop 1", "lightrec.policies.base:Policy")
    with_it = plugins.discover([])
    with_it.parts["rankers"]["top"] = part
    monkeypatch.setattr(plugins, "installed", lambda: with_it)
    recommender = load(tiny_run, by="top")
    table, counts = recommender.recommend("u3", k=3), recommender.store.popularity()
    shown = [counts[recommender.item(item)] for item in table["item"]]
    assert table["score"].to_list() == shown == sorted(shown, reverse=True)
    with pytest.raises(PluginError, match=r"no 'best' among the rankers.* are: blend, .*top"):
        load(tiny_run, by="best")


def test_no_cell_of_a_csv_file_is_a_formula(detailed, tmp_path, capsys):
    out = tmp_path / "recs.csv"
    assert main(["recommend", str(detailed.run.path), "--all", "-k", "48", "--out", str(out)]) == 0
    table = pl.read_csv(out)
    assert table["user"].n_unique() == 60
    assert "'=1+1" in table["user"]
    assert any(title.startswith("'=HYPERLINK") for title in table["title"])
    cells = [cell for column in ("user", "item", "title") for cell in table[column]]
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)
    expected = pl.concat(detailed.recommend_all(k=48)).select("user", "item")
    assert read_predictions(out).select("user", "item").equals(expected)


def test_lists_from_before_the_test_events_rank_as_the_blend_does(detailed, tmp_path, capsys):
    path = tmp_path / "recs.csv"
    command = ["recommend", str(detailed.run.path), "--all", "--before", "test", "-k", "48"]
    assert main([*command, "--out", str(path)]) == 0
    assert set(read_predictions(path)["known_events"]) == {9}
    metrics = evaluate_predictions(detailed.run, path)
    assert metrics["predictions/present"] == metrics["predictions/users"] == 60
    assert metrics["predictions/all/blend/ndcg@10"] > 0.9
    for end in ("", "/low", "/high"):
        assert metrics[f"predictions/all/difference/ndcg@10{end}"] == 0
    assert main(["evaluate", str(detailed.run.path), "--predictions", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "your predictions − blend  +0.000 (+0.000 to +0.000)" in lines
    assert not any("can be judged for" in line for line in lines)


def test_lists_that_know_the_held_out_events_are_not_judged_on_them(detailed, tmp_path, capsys):
    path = tmp_path / "recs.parquet"
    pl.concat(detailed.recommend_all(k=48)).write_parquet(path)
    assert main(["evaluate", str(detailed.run.path), "--predictions", str(path)]) == 2
    assert "already hold the held-out events (60 of them, by" in capsys.readouterr().err


def kinds(items):
    return [title.split()[0] for title in items["title"]]


@needs("rules")
def test_every_list_keeps_to_the_standing_rules(recommender, tmp_path):
    ruled = copy.copy(recommender)
    book = import_module("lightrec_rules.rules").RuleBook
    ruled.book = book(tmp_path, ruled.item, ruled.people.attributes)
    rules = {"in_stock": "kind!=lamp", "at_most": [{"per": "kind", "places": 2}]}
    ruled.book.path.write_text(json.dumps(rules))
    everybody = pl.concat(ruled.recommend_all(k=9)).filter(user="u3")
    for table in (ruled.recommend("u3", k=9), ruled.recommend(history=[], k=9), everybody):
        assert sorted(kinds(table)) == ["rope"] * 2 + ["song"] * 2 + ["tea"] * 2
    assert "lamp" not in kinds(ruled.similar("lamp number 3", k=40))
