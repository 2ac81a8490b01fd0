"""Every shipped recipe runs: one batch of each training, over a tiny log."""

from datetime import date

import numpy as np
import polars as pl
import pytest
from lightrec_audit import assumptions

from lightrec import plugins
from lightrec.__main__ import main
from lightrec.api import RecipeError, Run, Stage
from lightrec.evaluation.evidence import REASON, favoured_by
from lightrec.stages import recipes
from lightrec.stages.evaluate import first_lists
from lightrec.stages.run import execute as run_stage
from lightrec.stages.run import run
from lightrec.stages.train import train

SMALL = {"policy": ["--model.init_args.sessions=32", "--model.init_args.steps=2"]}
"""The policy's batch is made of sessions played; so few of them take no time."""
START, END = date(2023, 1, 1), date(2024, 3, 1)
"""A year before the tiny log begins, and after its end."""
SETS = plugins.discover().parts[plugins.RECIPES]
LOADED = {name: recipes.load(name) for name in SETS}
PLAYED = ("lab", "worlds")
ALONE = (*PLAYED, "language-generator")
"""Sets that stand by themselves, or read a language model, which runs in a tutorial's test."""
RUNS = [
    name
    for name, recipe_set in LOADED.items()
    if "data" in recipe_set.recipes and not recipe_set.overlay and name not in ALONE
]
"""Sets that make a whole run."""
VALUED = ("reading", "watching")
"""Sets whose reward needs a model of values, which learns from many events."""
SINGLE = [f"{name}/{recipe}" for name in PLAYED for recipe in LOADED[name].recipes]


@pytest.mark.slow
@pytest.mark.parametrize("name", SINGLE)
def test_every_recipe_that_stands_by_itself_runs(name, tmp_path):
    out = tmp_path / "run" / "policy"
    few = ["--trainer.fast_dev_run=1", "--data.init_args.judging=4"]
    recipe = recipes.find(name)[1]
    logged = "logged_sessions" in recipe["data"]["init_args"]
    few += ["--data.init_args.logged_sessions=4" if logged else "--model.init_args.sessions=4"]
    if "demonstrations" in recipe["data"]["init_args"]:
        few += ["--data.init_args.demonstration_sessions=4"]
    if "cloning" in recipe["model"]["init_args"].get("reward", {}).get("init_args", {}):
        few += ["--model.init_args.reward.init_args.cloning=2"]
    train(Stage("policy", recipe, out, few))
    assert Run(out.parent).stamp(out.name)["seed"] == 0
    assert Run(out.parent).policy.num_items > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_every_recipe_runs(name, lightrec_tiny_files, tmp_path, monkeypatch):
    # One assumption is enough to see that settings are right.
    until = "assumptions" if name == "audit" else None
    cells = assumptions.cells
    monkeypatch.setattr(assumptions, "cells", lambda *arguments: [*cells(*arguments)][:1])
    log, items = tmp_path / "log.csv", tmp_path / "items.csv"
    events, goods = map(pl.read_csv, lightrec_tiny_files)
    values_of = pl.int_range(pl.len()) % 3 + 3.0
    many = None if name in VALUED else 200  # 200: 20 users
    events[:many].with_columns(rating=values_of).write_csv(log)
    # A field reads each of these.
    goods.with_columns(health_score=0.5, price=9.5, words=9, duration=9).write_csv(items)
    values = {"max_steps": 2}
    if "prices" in LOADED[name].values:  # a field whose reward needs them
        skus, days = goods["sku"].to_list(), pl.date_range(START, END, "1d", eager=True)
        prices = {sku: 10.0 + (np.arange(len(days)) * (n + 1)) % 7 for n, sku in enumerate(skus)}
        pl.DataFrame({"date": days, **prices}).write_csv(tmp_path / "prices.csv")
        values["prices"] = str(tmp_path / "prices.csv")
    words = {"values": [f"--{key}={value}" for key, value in values.items()]}
    words |= SMALL if "policy" in LOADED[name].recipes else {}
    inputs = {"out": tmp_path / "run", "log": log, "items": items}
    out = run(name, **inputs, fast_dev_run=True, until=until, overrides=words)
    whole = recipes.load(name, ["fast-dev-run"], values)
    stages = recipes.until(whole.recipes, until)
    for stage in stages:  # the reader runs in its own room's tests
        assert Run(out).stamp(stage)["recipe"] == whole.resolved(stage)
    assert (out / "report.html").is_file() == ("evaluate" in stages)


def write(folder, **files):
    folder.mkdir()
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return str(folder)


def test_a_set_states_only_what_differs(tmp_path):
    mine = write(
        tmp_path / "mine",
        set="over: video\nvalues: {leave_rate: 0.2}\ntrained: {trainer: {precision: bf16-mixed}}\n",
        ranker="model: {init_args: {max_length: 9, item_models: [{class_path: EASE}]}}\n",
        policy="data: {class_path: OtherData, init_args: {depth: 1}}\ntrainer: {precision: 64}\n",
    )
    whole, base = recipes.load(mine), recipes.load("generic")
    assert whole.resolved("data") == {**base.resolved("data"), "domain": "video"}
    ranker, generic = whole.resolved("ranker"), base.resolved("ranker")
    assert ranker["trainer"] == {**generic["trainer"], "precision": "bf16-mixed"}
    changed = {"max_length": 9, "item_models": [{"class_path": "EASE"}]}
    assert ranker["model"]["init_args"] == generic["model"]["init_args"] | changed
    for stage in ("users_a", "users_b"):
        assert whole.resolved(stage)["model"]["init_args"]["leave_rate"] == 0.2
    # Another class takes nothing over from the one before; a recipe goes before its set.
    policy = whole.resolved("policy")
    assert policy["data"] == {"class_path": "OtherData", "init_args": {"depth": 1}}
    assert policy["trainer"]["precision"] == 64
    assert recipes.load(mine, values={"leave_rate": 0.3}).values["leave_rate"] == 0.3


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"set": "over: far"}, "there is none of the stage data"),
        ({"set": "over: generic", "data": "k_core: ${k}"}, "is no value"),
        ({"data": "reads: [ranker]", "ranker": "reads: [data]"}, "read each other in a circle"),
        ({"data": "reads: [text]"}, "The recipe data reads the stage text, of which there is no"),
        ({"ranker": "reads: []"}, "make no run: there is none of the stage data"),
        ({"data": "reads: data"}, r"`reads` is a list of names, such as \[data\], not"),
        ({"set": "over: own"}, "is laid over itself"),
        ({"set": "ovr: generic"}, r"set\.yaml, 'ovr' is not a key of a set .* Did you mean 'over'"),
    ],
)
def test_recipes_that_make_no_run_are_refused(tmp_path, monkeypatch, files, message):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "own", **files)
    with pytest.raises(RecipeError, match=message):
        run("own", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_without_the_long_run_data_ranker_and_evaluate_are_left(tiny_run, tmp_path, capsys):
    brief = recipes.load("generic", ["next"])
    stages = ["data", "text", "ranker", "evaluate", "final"]
    assert recipes.in_order(brief.recipes) == stages
    for name in ("data", "ranker"):
        (tmp_path / name).symlink_to(tiny_run / name)
    run_stage(Stage("evaluate", brief.resolved("evaluate"), tmp_path / "evaluate"))
    done = Run(tmp_path)
    assert {"test/ndcg@10", "test/popularity/ndcg@10"} <= done.metrics().keys()
    assert favoured_by(tmp_path) == ("blend", done.metrics()[REASON])
    page = (tmp_path / "evaluate" / "report.html").read_text()
    assert ">The long run<" in page
    assert "user models" not in page.partition(">The long run</h2>")[0]
    assert main(["evaluate", str(tmp_path)]) == 0
    assert "policy" not in capsys.readouterr().out
    assert first_lists(tmp_path).count("'s last events:") == 3
    with pytest.raises(RecipeError, match="holds the long run"):
        run("generic", out=tiny_run, offline=True, goal=["next"])
