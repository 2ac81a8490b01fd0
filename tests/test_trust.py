"""A run folder is data: whatever it names, nothing of it is imported or called.

Below stands every kind of file of a run folder; those that can name a class, or hold a pickle, are
forged in all the ways that might make lightrec run something.
"""

import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest
import torch

from lightrec.encoders.text import TextEncoder
from lightrec.errors import FetchError, LightrecError, RunError
from lightrec.learners.on_policy import PolicyModule
from lightrec.policies.base import Policy
from lightrec.ranking.module import RankingModule
from lightrec.ranking.sequence_data import SequenceData
from lightrec.run import Run
from lightrec.stages import run as pipeline
from lightrec.stages.stage import Stage
from lightrec.trust import gate, trusted_class
from lightrec.users.module import ChoiceModule

NAMES_CLASSES = {"class.txt", "config.json", "blend.json", "model.ckpt"}
MAY_HOLD_PICKLES = {".npy", ".ckpt"}
PLAIN = {".safetensors", ".parquet", ".arrow", ".json", ".txt", ".md", ".html", ".png"}
"""Numbers, tables, settings and pages: read without building anything, or not read at all."""
WRITTEN_ONLY = {"hparams.yaml", "items.tsv", "metadata.tsv", "projector_config.pbtxt"}
"""TensorBoard's; nobody reads it."""


@pytest.fixture
def run(tiny_run, tmp_path):
    """A copy of a finished run, to be forged."""
    return Path(shutil.copytree(tiny_run, tmp_path / "run"))


@pytest.fixture
def marker(tmp_path, monkeypatch):
    """A file that exists once anything forged was imported or called."""
    path = tmp_path / "it-ran"
    folder = tmp_path / "path"
    folder.mkdir()
    (folder / "payload_on_the_path.py").write_text(
        f"import pathlib\npathlib.Path({str(path)!r}).touch()\nclass Attack: pass\n"
    )
    monkeypatch.syspath_prepend(folder)
    yield path
    sys.modules.pop("payload_on_the_path", None)


PAYLOADS = ("payload_on_the_path:Attack", "os:system", "subprocess:Popen", "builtins:exec")
"""A module that acts when it is imported, and functions that act when they are called."""


def described(name, settings):
    return {"class_path": name.replace(":", "."), "init_args": settings}


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def forge_class(run, name, settings):
    (run / "policy" / "class.txt").write_text(f"{name}\n")
    (run / "policy" / "config.json").write_text(json.dumps(settings))


def forge_tower(run, name, settings):
    tower = {"tower": described(name, settings)}
    edit(run / "policy" / "config.json", lambda c: c["ranker"]["init_args"].update(tower))


def forge_checkpoint(stage, key, hyper_parameter=True):
    def forge(run, name, settings):
        path = run / stage / "model.ckpt"
        content = torch.load(path, weights_only=True)
        hyper_parameters = content["hyper_parameters"]
        hyper_parameters["_instantiator"] = "lightning.pytorch.cli.instantiate_module"
        (hyper_parameters if hyper_parameter else content)[key] = described(name, settings)
        torch.save(content, path)

    return forge


def checkpoint(kind, stage):
    return lambda run: kind.load_from_checkpoint(run / stage / "model.ckpt")


NAMED = {
    "class.txt": (forge_class, lambda run: Policy.load(run / "policy")),
    "config.json": (forge_tower, lambda run: Policy.load(run / "policy")),
    "loss": (forge_checkpoint("ranker", "loss"), checkpoint(RankingModule, "ranker")),
    "learner": (forge_checkpoint("users_a", "learner"), checkpoint(ChoiceModule, "users_a")),
    "policy": (forge_checkpoint("policy", "policy", False), checkpoint(PolicyModule, "policy")),
}
"""Where a file may name what is imported; every command's JSON is another test's."""


def test_every_kind_of_file_has_been_thought_of(tiny_run):
    files = [path for path in tiny_run.rglob("*") if path.is_file()]
    kinds = {path.name for path in files} - NAMES_CLASSES - WRITTEN_ONLY
    kinds -= {name for name in kinds if name.startswith("events.out.tfevents")}
    assert {Path(name).suffix for name in kinds} <= MAY_HOLD_PICKLES | PLAIN
    assert {path.name for path in files} >= NAMES_CLASSES
    # Only files that are attacked below hold what looks like the name of a class.
    texts = {p.name: p.read_text() for p in files if p.suffix in (".json", ".txt")}
    naming = {name for name, text in texts.items() if re.search(r'(^|")lightrec\.[^"]*:', text)}
    assert naming <= NAMES_CLASSES


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("kind", NAMED)
def test_nothing_that_a_file_names_is_imported_or_called(run, marker, kind, payload):
    forge, load = NAMED[kind]
    touches = {"os:system": {"command": f"touch {marker}"}}
    touches["subprocess:Popen"] = {"args": ["touch", str(marker)]}
    forge(run, payload, touches.get(payload, {}))
    with pytest.raises(RunError, match="belongs neither to lightrec nor to an installed plugin"):
        load(run)
    assert not marker.exists()
    assert "payload_on_the_path" not in sys.modules


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("lightrec.plugins:os", "and there is no such class."),
        ("lightrec.nowhere:Policy", "No module named 'lightrec.nowhere'."),
        ("lightrec.ranking.ranker:Ranker", "which is not a subclass of Policy."),
    ],
)
def test_what_belongs_to_lightrec_must_be_what_is_expected(run, name, why):
    forge_class(run, name, {})
    with pytest.raises(RunError, match=f"{re.escape(why)}$"):
        Policy.load(run / "policy")


class Pickle:
    """What runs a command when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("kind", [RankingModule, SequenceData])
def test_a_pickle_in_a_checkpoint_is_not_loaded(run, marker, kind):
    torch.save({"state_dict": {}, "epoch": Pickle(marker)}, run / "ranker" / "model.ckpt")
    with pytest.raises(Exception, match="Weights only load failed"):
        kind.load_from_checkpoint(run / "ranker" / "model.ckpt")
    assert not marker.exists()


CODE = {"model_type": "of-its-own", "auto_map": {"AutoConfig": "payload.Attack"}}
ADAPTER = {"base_model_name_or_path": "elsewhere", "peft_type": "LORA"}


@pytest.mark.parametrize(
    ("file", "content", "why"),
    [
        ("config.json", CODE, "code of its own"),
        ("adapter_config.json", ADAPTER, "model .elsewhere. is neither a folder"),
    ],
)
def test_code_in_the_folder_of_a_model_is_not_run(
    marker, monkeypatch, tmp_path, file, content, why
):
    (tmp_path / "payload.py").write_text(
        f"import pathlib\npathlib.Path({str(marker)!r}).touch()\n"
        "from transformers import BertConfig\n"
        "class Attack(BertConfig): model_type = 'of-its-own'\n"
    )
    (tmp_path / file).write_text(json.dumps(content))
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    with pytest.raises(FetchError, match=why):
        TextEncoder(str(tmp_path)).encode(["tea"])
    assert not marker.exists()


MODULE = "payload_on_the_path.Attack"
UPDATED = {
    "function": ("data", lambda made, name: made["recipe"].update(function=name)),
    "model": ("ranker", lambda made, name: made["recipe"].update(model={"class_path": name})),
    "callbacks": ("ranker", lambda made, name: made["recipe"]["trainer"].update(callbacks=[name])),
    "overrides": ("ranker", lambda made, name: made["overrides"].append(f"--model={name}")),
}
"""Where an update's stages might be told to import something."""


CHECKPOINT = "lightning.pytorch.callbacks.ModelCheckpoint"


@pytest.mark.parametrize("name", [MODULE, "lightrec.plugins.importlib.import_module", CHECKPOINT])
@pytest.mark.parametrize("place", UPDATED)
def test_a_recipe_that_a_run_notes_imports_nothing(run, marker, place, name):
    stage, change = UPDATED[place]
    edit(run / stage / "stage.json", lambda made: change(made, name))
    facts = Run(run).stamp(stage)
    with gate(), pytest.raises(LightrecError):
        pipeline.check(Stage(stage, facts["recipe"], run / stage, facts["overrides"]))
    assert not marker.exists()
    assert "payload_on_the_path" not in sys.modules


HOOKS = 'lightrec_policies = hookimpl(lambda: {"Elsewhere": "package_of_a_plugin:Elsewhere"})'
ELSEWHERE = """
from lightrec.policies.baselines import RandomPolicy
class Elsewhere(RandomPolicy): pass
class Another(RandomPolicy): pass
"""


def test_a_plugin_s_own_package_is_imported_where_it_may_load(lightrec_plugins, monkeypatch):
    (lightrec_plugins.folder / "package_of_a_plugin.py").write_text(ELSEWHERE)
    name = "package_of_a_plugin:Elsewhere"
    with pytest.raises(RunError):
        trusted_class(name, Policy)
    point = lightrec_plugins.add("chess", HOOKS)
    for setting in ("LIGHTREC_DISABLED_PLUGINS=chess", "LIGHTREC_LOAD_PLUGINS=video"):
        lightrec_plugins.installed.cache_clear()
        with monkeypatch.context() as patch:
            patch.setenv(*setting.split("="))
            with pytest.raises(RunError):
                trusted_class(name, Policy)
    lightrec_plugins.installed.cache_clear()
    # The module is not the plugin's own package: only the class that it declares may be imported.
    assert point.value == "hooks_of_chess"
    with pytest.raises(RunError):
        trusted_class("package_of_a_plugin:Another", Policy)
    assert "package_of_a_plugin" not in sys.modules
    assert trusted_class(name, Policy).__name__ == "Elsewhere"
