"""Spaces and searches: the same twice and after a stop, and blind to the test part."""

import io
import json
import re
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest
import yaml
from lightrec_testing import tiny
from lightrec_tune import search as tune
from lightrec_tune.space import held, parse_space
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from lightrec.__main__ import main
from lightrec.cli.fit import stage_of
from lightrec.data.store import TEST
from lightrec.errors import DataError
from lightrec.ranking import sequence_data
from lightrec.stages import train as training
from lightrec.stages.train import ParsedRecipe

SPACE = """
model.init_args.learning_rate: {low: 1e-3, high: 1e-2, log: true}
model.init_args.tower.init_args.dropout: {low: .1, high: .5}
model.init_args.tower.init_args.feedforward: [1, 4]
"""
QUICK = [
    "--trainer.max_epochs=2",
    "--model.init_args.size=16",
    "--model.init_args.tower.init_args.layers=1",
    "--model.init_args.start=random",
    "--data.init_args.text_encoder=null",
]


def search(*arguments, trials=3, out="found"):
    command = ["tune", "-c", "generic/ranker", "--space", "space.yaml", "--out", out]
    return main([*command, "--trials", str(trials), *QUICK, *arguments])


def trials(out="found"):
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{out}/{tune.STUDY}")
    return [(t.number, t.state, t.value, t.params, t.intermediate_values) for t in study.trials]


def states(out="found"):
    return [trial[1].name for trial in trials(out)]


def prepared(where):
    """A folder with a space, and a run whose data stage is done."""
    for name in ("data", "text"):
        shutil.copytree(tiny.kit_run() / name, where / "runs" / "generic" / name)
    (where / "space.yaml").write_text(SPACE)
    return where


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An unbroken search of three trials, with what it printed."""
    where = prepared(tmp_path_factory.mktemp("whole"))
    out, err, looked = io.StringIO(), io.StringIO(), []
    begin = sequence_data.EvaluationEvents.__init__

    def watch(self, log, part, *rest):
        looked.append(part)
        begin(self, log, part, *rest)

    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(where)
        patch.setattr(sequence_data.EvaluationEvents, "__init__", watch)
        assert search() == 0
        assert looked
        assert TEST not in looked  # no trial looks at the test part
        return where, trials(), out.getvalue(), err.getvalue()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(prepared(tmp_path))
    monkeypatch.setattr(tune, "write", lambda search: None)
    return tmp_path


@pytest.fixture
def quickly(folder, monkeypatch):
    """The folder, where trainings take no time; those of the numbers in `failing` fail."""
    made = SimpleNamespace(failing=[], trained=[])

    def fit(stage, watchers):
        if stage.number in made.failing:
            raise ValueError("no head fits")
        made.trained.append(stage.number)
        stage.work.mkdir(parents=True)
        watchers[0].values.append(0.1 * stage.number)

    monkeypatch.setattr(tune, "fit", fit)
    return made


def test_a_search_with_settings_of_another_space_is_refused(quickly, capsys):
    assert search(trials=1) == 0
    study = optuna.load_study(study_name=None, storage=f"sqlite:///found/{tune.STUDY}")
    choices = {"trainer.callbacks": optuna.distributions.CategoricalDistribution(["os.system"])}
    params = dict.fromkeys(choices, "os.system")
    study.add_trial(optuna.create_trial(value=1.0, params=params, distributions=choices))
    assert search() == 2
    assert "found holds a search over another space, recipe or log" in capsys.readouterr().err


@pytest.mark.slow
def test_it_leaves_the_best_recipe_which_gives_the_best_value_again(whole, monkeypatch):
    where, finished, out, err = whole
    best = max(finished, key=lambda trial: trial[2])
    assert f"best {best[2]:.4f} (trial {best[0] + 1})" in err
    assert "3 trials: 3 trained to the end." in out.splitlines()
    assert not (where / "found" / ".work").exists()

    recipe = yaml.safe_load((where / "found" / "best.yaml").read_text())
    chosen = recipe["model"]["init_args"]["tower"]["init_args"]["dropout"]
    assert chosen == best[3]["model.init_args.tower.init_args.dropout"]
    assert recipe["data"]["init_args"]["text_encoder"] is None
    monkeypatch.chdir(where)
    assert main(["fit", "-c", "found/best.yaml"]) == 0
    metrics = json.loads((where / "runs" / "generic" / "ranker" / "metrics.json").read_text())
    assert metrics["validation/ranker/ndcg@10"] == pytest.approx(best[2], abs=1e-6)


def test_the_recipes_own_settings_come_first_and_chance_follows_the_seed(quickly, whole):
    first = {name.split(".")[-1]: value for name, value in whole[1][0][3].items()}
    assert first == {"learning_rate": 0.001, "dropout": 0.4, "feedforward": "4"}
    assert search("--seed_everything=1", trials=2) == 0
    assert trials()[0][3] == whole[1][0][3]
    assert trials()[1][3] != whole[1][1][3]


@pytest.mark.slow
def test_stopped_within_its_trials_it_goes_on_from_the_last_epoch(folder, whole, monkeypatch):
    began, stops = [], [0, 1]

    def stop(self, trainer, module, outputs, batch, index):
        began.append(trainer.current_epoch)
        if trainer.current_epoch in stops[:1] and len(trials()) == 2:
            raise SystemExit("stopped")

    monkeypatch.setattr(training.EpochSeed, "on_train_batch_end", stop, raising=False)
    while stops:
        began.clear()
        with pytest.raises(SystemExit):
            search(trials=2)
        assert began[-1] == stops.pop(0)
        assert states() == ["COMPLETE", "RUNNING"]
    began.clear()
    assert search(trials=2) == 0
    assert set(began) == {1}
    assert trials() == whole[1][:2]
    for _ in range(2):  # nothing is left to do for the second
        assert search() == 0
        assert trials() == whole[1]


@pytest.mark.slow
def test_a_bad_trial_is_given_up_early_and_says_so(folder, monkeypatch, capsys):
    monkeypatch.setattr(optuna.trial.Trial, "should_prune", lambda trial: trial.number == 1)
    assert search(trials=2) == 0
    assert states() == ["COMPLETE", "PRUNED"]
    assert len(trials()[1][4]) == 1
    assert "1 trained to the end, 1 given up early." in capsys.readouterr().out


def test_a_trial_that_fails_is_reported_and_passed_over_but_not_the_first(quickly, capsys):
    quickly.failing = [2]
    assert search() == 0
    assert states() == ["COMPLETE", "FAIL", "COMPLETE"]
    assert "[2/3] failed: no head fits; best" in capsys.readouterr().err
    quickly.failing = [1]
    with pytest.raises(ValueError, match="no head fits"):
        search(out="other")
    quickly.failing = []
    assert search(out="other", trials=1) == 0
    assert {*states("other")} == {"COMPLETE"}


def test_settings_that_were_tried_are_not_trained_again(quickly, capsys):
    Path("space.yaml").write_text("model.init_args.tower.init_args.dropout: [0.3, 0.4]\n")
    assert search(trials=5) == 0
    assert len(quickly.trained) == 2
    assert "the same as trial" in capsys.readouterr().err


def test_commands_share_a_search_and_end_with_as_many_trials(quickly, monkeypatch, capsys):
    begin = tune.fit

    def fit(stage, watchers):
        begin(stage, watchers)
        if stage.number == 2:  # another command comes meanwhile
            assert search(trials=4) == 0

    monkeypatch.setattr(tune, "fit", fit)
    assert search(trials=4) == 0
    assert quickly.trained == [1, 2, 3, 4]
    assert states() == ["COMPLETE"] * 4
    assert len({tuple(trial[3].values()) for trial in trials()}) == 4
    assert "Other commands still train 1 of the trials." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "arguments", "sentence"),
    [
        ("model.init_args.dropuot: [1, 2]", [], "The space does not fit the recipe"),
        (SPACE, ["--model.init_args.learning_rate", "1"], "given on the line and searched by"),
        (SPACE, ["--trials", "0"], "--trials must be at least 1, not 0"),
        (SPACE, ["--run", "runs/none"], "runs/none holds no finished data stage"),
        (SPACE, ["-c", "generic/data"], "trains nothing, so that there is nothing to tune"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_work_starts(
    folder, capsys, content, arguments, sentence
):
    (folder / "space.yaml").write_text(content)
    assert search(*arguments) == 2
    assert sentence in capsys.readouterr().err
    assert not (folder / "found").exists()


def test_the_default_space_can_be_printed_and_fits_every_encoder(capsys):
    for recipe in ("generic/ranker", "video/ranker"):
        assert main(["tune", "-c", recipe, "--print-space"]) == 0
        space = parse_space(capsys.readouterr().out, "printed")
        parsed = ParsedRecipe(stage_of("tune", [], [recipe]))
        assert all(held(choice, parsed.config.get(n)) is not None for n, choice in space.items())


def test_ranges_and_choices_of_any_kind():
    space = parse_space(
        """
        model.init_args.learning_rate: {low: 1e-4, high: 1e-2, log: true}
        model.init_args.dropout: {low: 0, high: .5}
        model.init_args.layers: {low: 1, high: 5, step: 2}
        model.init_args.start: [random, cooccurrence]
        trainer.callbacks: [null, [{class_path: EarlyStopping}]]
        """,
        "here",
    )
    assert list(space.values()) == [
        FloatDistribution(1e-4, 1e-2, log=True),
        FloatDistribution(0.0, 0.5),
        IntDistribution(1, 5, step=2),
        CategoricalDistribution(("random", "cooccurrence")),
        CategoricalDistribution(("null", '[{"class_path": "EarlyStopping"}]')),
    ]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ("{low: 1}", "Expected a range such as {low: 0.1, high: 0.5}"),
        ("{low: 1, high: .nan}", "Expected a number, not nan"),
        ("[1]", "two or more different choices"),
    ],
)
def test_what_is_no_range_and_no_choice_is_refused(values, sentence):
    with pytest.raises(DataError, match=f"^space.yaml: model.size: .*{re.escape(sentence)}"):
        parse_space(f"model.size: {values}", "space.yaml")


@pytest.mark.slow  # Ray starts processes.
def test_ray_tune_searches_by_the_script_of_the_documentation(folder):
    pytest.importorskip("ray.tune", reason="Ray is a package of its own")
    page = Path(__file__).parents[3] / "docs" / "how-to" / "tune.md"
    script = page.read_text(encoding="utf-8").split("```python no-run\n")[1].split("```")[0]
    quick = script.replace("30", "2").replace('"ranker"]', f'"ranker", *{QUICK}]', 1)
    Path("search.py").write_text(quick)
    ended = subprocess.run([sys.executable, "search.py"], capture_output=True, text=True)
    assert not ended.returncode, ended.stderr
    found = re.findall(r"^--ranker\.(\S+)=\d", ended.stdout, re.MULTILINE)
    assert found == list(yaml.safe_load(SPACE))[:2], ended.stdout
