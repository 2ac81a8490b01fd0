"""Stages appear whole, and are done again for what goes in and for the code that they name."""

import pytest

from lightrec.data.files import FORMAT_VERSION
from lightrec.stages.stage import Stage, plugin_marks


def finish(stage, text="done"):
    stage.prepare_work()
    with stage.output(0) as folder:
        (folder / "result.txt").write_text(text)


def test_a_stage_is_current_until_anything_that_goes_in_changes(tmp_path):
    log, recipe = tmp_path / "log.csv", {"k_core": 5}
    log.write_text("user,item\n")
    stage = Stage("data", recipe, tmp_path / "run" / "data", sources={"log": log})
    assert not stage.is_current()
    finish(stage)
    assert stage.is_current()
    assert not Stage("data", recipe, stage.out, ["--k_core", "3"], {"log": log}).is_current()
    log.write_text("user,item\n1,2\n")
    assert not stage.is_current()
    finish(stage)
    recipe["k_core"] = 4
    assert not stage.is_current()


def test_a_store_of_another_format_is_not_current(tmp_path, monkeypatch):
    data = Stage("data", {}, tmp_path / "run" / "data")
    ranker = Stage("ranker", {"reads": ["data"]}, tmp_path / "run" / "ranker")
    finish(data)
    finish(ranker)
    monkeypatch.setattr("lightrec.stages.stage.FORMAT_VERSION", FORMAT_VERSION - 1)
    assert not data.is_current()
    assert ranker.is_current()
    finish(data)
    assert data.is_current()
    assert not ranker.is_current()


def test_nothing_half_written_appears(tmp_path):
    stage = Stage("data", {}, tmp_path / "run" / "data")
    finish(stage, "old")

    def stop():
        stage.prepare_work()
        with stage.output(0) as folder:
            (folder / "result.txt").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert (stage.out / "result.txt").read_text() == "old"


def test_work_is_kept_only_for_the_same_inputs(tmp_path):
    recipe = {"k_core": 5}
    stage = Stage("data", recipe, tmp_path / "run" / "data")
    assert not stage.prepare_work()
    (stage.work / "last.ckpt").write_text("epoch 3")
    assert stage.prepare_work()
    assert (stage.work / "last.ckpt").exists()
    recipe["k_core"] = 2
    assert not stage.prepare_work()
    assert not (stage.work / "last.ckpt").exists()


FILES = {
    "__init__.py": "",
    "rewards.py": "from mine.maths import square\nfrom . import words\n",
    "maths.py": "import mine.deep.numbers\n",
    "deep/__init__.py": "",
    "deep/numbers.py": "ONE = 1\n",
    "words.py": "",
    "evaluators.py": "",
    "readers.py": "",
}


HOOKS = """
from lightrec.hookspecs import gives
lightrec_rewards = gives({"Calm": "mine.rewards:Calm"})
lightrec_evaluators = gives({"Calmness": "mine.evaluators:Calmness"})
lightrec_readers = gives({"ods": "mine.readers:Sheets"})
lightrec_domains = gives({"calm": "mine.evaluators:Domain"})
"""


POLICY = "{'data': {'init_args': {'reward': 'Calm', 'data': 'runs/calm/data'}}}"
EVALUATE = "{'evaluators': [{'class_path': 'mine.evaluators.Calmness'}]}"


@pytest.mark.parametrize(
    ("settings", "readers", "depends"),
    [
        (POLICY, False, {"rewards.py", "maths.py", "deep/numbers.py", "words.py", "__init__.py"}),
        (EVALUATE, False, {"evaluators.py"}),
        ("{'function': 'mine.words.count', 'reads': ['data']}", False, {"words.py"}),
        ("{'domain': 'calm'}", True, {"evaluators.py", "readers.py"}),
        ("{'domain': 'calmer', 'out': 'runs/calm/data'}", False, set()),
        ("{} ['--evaluators+=Calmness']", False, {"evaluators.py"}),
    ],
)
def test_only_what_a_stage_names_and_that_imports_counts(
    lightrec_plugins, settings, readers, depends
):
    package = lightrec_plugins.folder / "mine"
    (package / "deep").mkdir(parents=True)
    for name, text in FILES.items():
        (package / name).write_text(text)
    lightrec_plugins.add("mine", HOOKS)
    before = plugin_marks(settings, readers)
    assert set(before) <= {"mine"}
    changing = set()
    for name, text in FILES.items():
        (package / name).write_text(text + "# edited\n")
        if plugin_marks(settings, readers) != before:
            changing.add(name)
        (package / name).write_text(text)
    assert changing == depends
