"""Exported blends of ordinary shops: their lists are those of `recommend` and of the service."""

import json
import shutil

import polars as pl
import pyarrow as pa
import pytest
import torch
from lightrec_export import export as exporting
from lightrec_export.batch import Lists
from lightrec_export.export import export, without_people
from lightrec_export.exported import MANIFEST, Exported
from lightrec_serve.commands import loader
from lightrec_serve.engine import Query, Ranked
from lightrec_serve.export_engine import BlendEngine
from lightrec_serve.run_engine import RunEngine
from lightrec_testing import tiny

import lightrec
from lightrec.errors import RecipeError, RunError
from lightrec.evaluation.evidence import Favoured
from lightrec.ranking.blend import Blend
from lightrec.ranking.item_models.demographic import Demographic
from lightrec.run import Run
from lightrec.stages.run import run as make_run
from tests.asking import items, slate_of
from tests.processes import light
from tests.shops import Shop

KINDS = {
    "goal": {"goal": ["order"]},
    "returns": {},
    "attributes": {"columns": ["customer", "sku", "time"]},
    "plain": {"columns": ["customer", "sku", "time"], "without": ("items", "users")},
}
"""What is given of a shop, and how."""


@pytest.fixture(scope="module", params=KINDS)
def made(request, tmp_path_factory):
    """A run of a kind, and its export with histories; a few people are below the k-core."""
    folder = tmp_path_factory.mktemp(request.param)
    paths = Shop("category", customers=50, items=40).write(folder)
    more = dict(KINDS[request.param])
    if columns := more.pop("columns", None):
        pl.read_csv(paths["log"]).select(columns).write_csv(paths["log"])
    for name in more.pop("without", ()):
        del paths[name]
    quick = {stage: tiny.FAST[stage] for stage in ("text", "ranker")}
    quick["data"] = ["--k_core", "12"]
    out = make_run("generic", out=folder / "run", **paths, **more, until="ranker", overrides=quick)
    export(Run(out), folder / "export", histories=True)
    return out, folder / "export"


def test_lists_are_those_of_recommend_and_of_the_service(made):
    path, folder = made
    recommender, served, export_engine = lightrec.load(path), RunEngine(path), BlendEngine(folder)
    everybody = [*recommender.people.rows, *recommender.people.outside.rows]
    assert {*export_engine.users(99)} == {*everybody}
    people = everybody[::2]
    queries = [Query(user=user, k=8) for user in people]
    expected = [recommender.recommend(user, k=8)["item"].to_list() for user in people]
    for engine in (export_engine, served):
        lists = [[engine.catalog.describe(n)[0] for n in x.items] for x in engine.answer(queries)]
        assert lists == expected
    items = tuple(recommender.store.catalog["item"][:3])
    kinds = tuple(recommender.store.feedback_kinds[:1] * 3)
    for query in (
        Query(k=8),
        Query(history=items, k=8, explain=True),
        Query(user=people[0], accepted=items, kinds=kinds, k=8, explain=True),
        Query(history=items, k=8, draw=True, seed=3),
        Query(history=items, k=8, only=items, discover=True),
    ):
        one, other = (engine.answer([query])[0] for engine in (export_engine, served))
        assert isinstance(one, Ranked)
        assert (one.items, one.by, one.why) == (other.items, other.by, other.why)
    for engine in (export_engine, served):
        engine.put("fresh", {"title": "Fresh"})
        engine.catalog.delete(["fresh", items[0]])
    assert export_engine.similar(3, Query(k=5))[0] == served.similar(3, Query(k=5))[0]


def test_lists_in_batches_are_those_of_recommend(made):
    path, folder = made
    recommender = lightrec.load(path)
    items = recommender.store.catalog["item"].to_list()
    histories = [items[:3], items[4:5]]
    lists = Lists(str(folder), 6)(pa.table({"user": ["a", "b"], "history": histories}))
    expected = [recommender.recommend(history=each, k=6)["item"].to_list() for each in histories]
    assert lists["items"].to_pylist() == expected


def test_standing_rules_hold_in_the_export_as_in_the_run(made, tmp_path):
    path, folder = made
    recommender, engine = lightrec.load(path), BlendEngine(folder)
    gone, *held, pinned = recommender.store.catalog["item"]
    histories = [held[:3], held[4:5]]
    people = [*recommender.people.rows][:9]
    rules = [place / "rules.yaml" for place in (path, folder)]
    for file in rules:
        file.write_text(f"pins:\n- {{item: {pinned}, place: 2}}\nin_stock: item!={gone}\n")
    try:
        expected = [recommender.recommend(user, k=5)["item"].to_list() for user in people]
        export(Run(path), tmp_path / "new")
        assert (tmp_path / "new" / "rules.yaml").is_file()
        answers = engine.answer([Query(user=user, k=5) for user in people])
        lists = Lists(str(folder), 6)(pa.table({"user": ["a", "b"], "history": histories}))
        listed = [recommender.recommend(history=h, k=6)["item"].to_list() for h in histories]
        whole = Lists(str(folder), 99)(pa.table({"user": ["c"], "history": [held[:1]]}))
    finally:
        for file in rules:
            file.unlink()
    assert [[engine.catalog.describe(n)[0] for n in x.items] for x in answers] == expected
    assert sum(items[1] == pinned for items in expected) > 4
    assert lists["items"].to_pylist() == listed
    assert (gone in whole["items"].to_pylist()[0], lists["items"][0].as_py()[1]) == (False, pinned)


@pytest.fixture
def tiny_blend(tiny_run, tmp_path):
    export(Run(tiny_run), tmp_path / "out", what="blend")
    return tmp_path / "out"


@torch.no_grad()
def test_nobody_leaves_unless_it_is_said(tiny_blend):
    held = Exported(tiny_blend)
    assert held.people() == held.histories() == {}
    assert held.attributes is None
    model, count = Demographic(), tiny.NUM_ITEMS + 1
    shapes = {"level": (count,), "weights": (2, count), "people": (60, 2), "mean": (2,)}
    for name, shape in shapes.items():
        model.register_buffer(name, torch.ones(shape))
    weights = {"ranker": 1.0, "Demographic": 1.0}
    blend = Blend(tiny.tiny_ranker(), {"Demographic": model}, weights)
    bare = without_people(blend)
    assert (len(bare.item_model("Demographic").people), len(model.people)) == (0, 60)
    history = torch.tensor([[1, 2, 3]])
    assert bare.scores(history).equal(blend.scores(history))


def test_it_is_read_without_heavy_packages_and_served_by_the_command(tiny_blend):
    program = (
        "from pathlib import Path\n"
        "from lightrec_serve.commands import loader\n"
        "from lightrec_serve.engine import Query\n"
        f"engine = loader(Path({str(tiny_blend)!r}), None, 1.0)()\n"
        "print(type(engine).__name__, engine.answer([Query(k=3)])[0].items)\n"
    )
    (answer,) = light(program)
    assert answer.startswith("BlendEngine [")


def test_it_answers_over_http_as_the_run_does(client, tiny_run, tmp_path):
    export(Run(tiny_run), tmp_path / "out", what="blend", histories=True)
    run = lambda: RunEngine(tiny_run, "blend")  # noqa: E731
    told = {}
    for name, load in (("run", run), ("export", loader(tmp_path / "out", None, 1.0))):
        with client(load) as http:
            (about,) = http.get("/ready").json()["arms"].values()
            slates = [slate_of(http, k=4, **ask) for ask in ({"user": "u3"}, {"history": ["i5"]})]
            told[name] = about["by"], about["goal"], *map(items, slates)
            sent = {"users": [{"user": "ann", "attributes": {"age": 3}}]}
            assert http.put("/users", json=sent).status_code == 422
    assert told["run"] == told["export"]


def test_what_cannot_leave_is_named_before_anything_is_written(tiny_run, tmp_path, monkeypatch):
    run, out = Run(tiny_run), tmp_path / "out"
    monkeypatch.setattr(exporting, "favoured_by", lambda _: Favoured("even-mixture", "It won."))
    with pytest.raises(RunError, match=r"ranks by the even mixture .* user model A cannot be"):
        export(run, out)
    for settings in ({"size": 8}, {"int8": True}):
        with pytest.raises(RecipeError, match="A blend has no two towers"):
            export(run, out, what="blend", **settings)
    assert not [*tmp_path.iterdir()]


def test_what_it_does_not_know_and_what_was_changed_is_refused(tiny_blend, tmp_path):
    engine = loader(tiny_blend, None, 1.0)()
    for query in (Query(ask="tea"), Query(profile={"age": 3}), Query(by="policy")):
        assert isinstance(engine.answer([query])[0], RecipeError)
    copied = shutil.copytree(tiny_blend, tmp_path / "copy")
    said = json.loads((copied / MANIFEST).read_text())
    weights = next(name for name in said["files"] if name.endswith("model.safetensors"))
    (copied / weights).write_bytes(b"x")
    with pytest.raises(RunError, match="is not the file that was exported"):
        BlendEngine(copied)
