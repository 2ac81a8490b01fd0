"""A run that starts from one on another log."""

import json

import polars as pl
import pytest

from lightrec.__main__ import main
from lightrec.errors import RecipeError
from lightrec.policies.base import Policy
from lightrec.run import Run
from lightrec.stages.run import run
from lightrec.stages.stage import named_files
from lightrec.testing.tiny import FAST, tiny_text_model, write_log


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """A run whose ranker reads the vectors of a text model."""
    folder = tmp_path_factory.mktemp("films")
    log, items = write_log(folder)
    (folder / "model").mkdir()
    encoder = {"class_path": "TextEncoder", "init_args": {"cache": False}}
    encoder["init_args"]["model"] = str(tiny_text_model(folder / "model"))
    ranker = ["--trainer.max_epochs=1", "--model.init_args.size=8"]
    ranker += ["--model.init_args.use_ids=false", "--model.init_args.item_models=null"]
    settings = {
        "values": [f"--text_encoder={json.dumps(encoder)}"],
        "text": ["--model.init_args.tune=none"],
        "ranker": ranker,
    }
    out = folder / "run"
    return run("generic", out=out, log=log, items=items, goal=["next"], overrides=settings)


@pytest.fixture
def recipes_log(tmp_path):
    """Two events of one user, and 48 items that nobody chose."""
    _, items = write_log(tmp_path)
    items = pl.read_csv(items).with_columns("r" + pl.col("sku"))
    items.write_csv(tmp_path / "recipes.csv")
    log = pl.DataFrame({"customer": ["somebody"] * 2, "sku": items["sku"][:2]})
    log.write_csv(tmp_path / "log.csv")
    return {"log": tmp_path / "log.csv", "items": tmp_path / "recipes.csv", "goal": ["next"]}


def test_without_training_events_a_moved_ranker_ranks_by_words(
    films, recipes_log, tmp_path, capsys
):
    settings = {
        "data": ["--k_core=0", "--new_items=true"],
        "ranker": ["--trainer.max_epochs=0"],
    }
    given = {**recipes_log, "out": tmp_path / "run", "overrides": settings}
    moved = Run(run("generic", start_from=films, **given)).ranker
    source = Run(films).ranker
    learned = dict(source.named_parameters())
    for name, weights in moved.named_parameters():
        assert not weights.any() if name == "bias" else weights.equal(learned[name])
    assert moved.items.vectors.any(dim=1).sum() == 48
    assert main(["recommend", str(tmp_path / "run"), "--history", "lamp number 0", "-k", "3"]) == 0
    capsys.readouterr()
    run("generic", start_from=films, **given)
    assert "ranker: up to date" in capsys.readouterr().err


def test_a_stage_that_a_setting_names_goes_into_the_fingerprint(tmp_path):
    (tmp_path / "ranker").mkdir()
    setting = f"--model.init_args.continues={tmp_path / 'ranker'}"
    assert named_files([setting]) == {}
    marks = []
    for content in ("one", "another"):
        (tmp_path / "ranker" / "stage.json").write_text(content)
        marks.append(named_files([setting]))
    assert marks[0].keys() == marks[1].keys() == {str(tmp_path / "ranker" / "stage.json")}
    assert marks[0] != marks[1]


def test_a_ranker_that_reads_no_texts_is_refused(tiny_run, recipes_log, tmp_path):
    settings = {"data": ["--k_core=0", "--new_items=true"], "ranker": ["--trainer.max_epochs=0"]}
    with pytest.raises(RecipeError, match="reads no texts"):
        run(
            "generic",
            **recipes_log,
            start_from=tiny_run,
            out=tmp_path / "run",
            overrides=settings,
        )


def test_a_policy_starts_from_another_ones_weights(tiny_run, tmp_path):
    for name in ("data", "ranker", "users_a"):
        (tmp_path / name).symlink_to(tiny_run / name)
    words = ["fit", "-c", "generic/policy", "--out", str(tmp_path / "policy"), *FAST["policy"]]
    words += ["--trainer.max_epochs=0", f"--model.init_args.continues={tiny_run / 'policy'}"]
    assert main(words) == 0
    moved, earlier = (Policy.load(folder / "policy") for folder in (tmp_path, tiny_run))
    assert moved.utility_weight.equal(earlier.utility_weight)
    assert moved.utility_weight != 0
