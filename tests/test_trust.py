"""A run folder is data: whatever it names, nothing of it is imported or called.

Below stands every kind of file of a run folder; those that can name a class, or hold a pickle, are
forged in all the ways that might make lightrec run something.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from lightrec_images.image import ImageEncoder
from torch import nn

from lightrec.__main__ import main
from lightrec.data.store import EventStore
from lightrec.encoders.text import TextEncoder
from lightrec.errors import FetchError, LightrecError, RunError
from lightrec.learners.on_policy import PolicyModule
from lightrec.nn.part import Part
from lightrec.policies.base import Policy
from lightrec.policies.baselines import RandomPolicy
from lightrec.ranking.blend import Blend, described_models
from lightrec.ranking.item_models.base import ItemModel, Popularity
from lightrec.ranking.language_readers import Decoder, PairClassifier
from lightrec.ranking.module import RankingModule
from lightrec.ranking.ranker import Ranker
from lightrec.ranking.sequence_data import SequenceData
from lightrec.run import Run
from lightrec.stages import assumptions
from lightrec.stages import run as pipeline
from lightrec.stages.stage import Stage
from lightrec.stages.train import ParsedRecipe
from lightrec.testing import tiny
from lightrec.trust import built, gate, trusted_class
from lightrec.users.module import ChoiceModule
from lightrec.users.user_model import UserModel

NAMES_CLASSES = {"class.txt", "config.json", "blend.json", "model.ckpt"}
MAY_HOLD_PICKLES = {".npy", ".ckpt"}
PLAIN = {".safetensors", ".parquet", ".arrow", ".json", ".txt", ".md", ".html", ".png"}
"""Numbers, tables, settings and pages: read without building anything, or not read at all."""
WRITTEN_ONLY = {"hparams.yaml", "items.tsv", "metadata.tsv", "projector_config.pbtxt"}
"""TensorBoard's; nobody reads it."""


@pytest.fixture
def run(tiny_run, tmp_path) -> Path:
    """A copy of a finished run, to be forged."""
    return Path(shutil.copytree(tiny_run, tmp_path / "run"))


@pytest.fixture
def marker(tmp_path, monkeypatch) -> Path:
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


def arguments(payload: str, marker: Path) -> dict[str, object]:
    return {
        "os:system": {"command": f"touch {marker}"},
        "subprocess:Popen": {"args": ["touch", str(marker)]},
    }.get(payload, {})


def described(name: str, given: dict[str, object]) -> dict[str, object]:
    return {"class_path": name.replace(":", "."), "init_args": given}


def edit(path: Path, change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def forge_blend(run, name, given):
    def change(content):
        for form in content["item_models"].values():
            form |= described(name, given)

    edit(run / "ranker" / "blend.json", change)


def forge_class(stage):
    def forge(run, name, given):
        (run / stage / "class.txt").write_text(f"{name}\n")
        (run / stage / "config.json").write_text(json.dumps(given))

    return forge


def forge_user_model(run, name, given):
    edit(run / "policy" / "config.json", lambda c: c.update(user_model=described(name, given)))


def forge_member(run, name, given):
    edit(run / "users_a" / "config.json", lambda c: c.update(members=[described(name, given)]))


def forge_tower(run, name, given):
    edit(run / "ranker" / "config.json", lambda c: c.update(tower=described(name, given)))


def forge_tower_of_policy(run, name, given):
    tower = {"tower": described(name, given)}
    edit(run / "policy" / "config.json", lambda c: c["ranker"]["init_args"].update(tower))


def forge_checkpoint(stage, **instead):
    def forge(run, name, given):
        path = run / stage / "model.ckpt"
        content = torch.load(path, weights_only=True)
        content["hyper_parameters"] |= {
            "_instantiator": "lightning.pytorch.cli.instantiate_module",
            **{key: described(name, given) for key in instead.get("settings", ())},
        }
        for key in instead.get("parts", ()):
            content[key] = described(name, given)
        torch.save(content, path)

    return forge


NAMED = {
    "blend.json": (forge_blend, lambda run: Blend.load(run / "ranker")),
    "blend.json, settings": (forge_blend, lambda run: described_models(run / "ranker")),
    "class.txt of a policy": (forge_class("policy"), lambda run: Policy.load(run / "policy")),
    "class.txt of a user model": (forge_class("users_a"), lambda r: UserModel.load(r / "users_a")),
    "class.txt of user model B": (forge_class("users_b"), lambda r: UserModel.load(r / "users_b")),
    "config.json, user model": (forge_user_model, lambda run: Policy.load(run / "policy")),
    "config.json, member": (forge_member, lambda run: UserModel.load(run / "users_a")),
    "config.json, tower": (forge_tower, lambda run: Ranker.from_pretrained(run / "ranker")),
    "config.json, tower within": (forge_tower_of_policy, lambda run: Policy.load(run / "policy")),
    "model.ckpt, loss": (
        forge_checkpoint("ranker", settings=["loss"]),
        lambda run: RankingModule.load_from_checkpoint(run / "ranker" / "model.ckpt"),
    ),
    "model.ckpt, learner": (
        forge_checkpoint("users_a", settings=["learner"]),
        lambda run: ChoiceModule.load_from_checkpoint(run / "users_a" / "model.ckpt"),
    ),
    "model.ckpt, policy": (
        forge_checkpoint("policy", parts=["policy"]),
        lambda run: PolicyModule.load_from_checkpoint(run / "policy" / "model.ckpt"),
    ),
    "model.ckpt, learned reward": (
        forge_checkpoint("policy", parts=["learned_reward"]),
        lambda run: PolicyModule.load_from_checkpoint(run / "policy" / "model.ckpt"),
    ),
}


def test_every_kind_of_file_has_been_thought_of(tiny_run):
    files = [path for path in tiny_run.rglob("*") if path.is_file()]
    kinds = {path.name for path in files} - NAMES_CLASSES - WRITTEN_ONLY
    kinds -= {name for name in kinds if name.startswith("events.out.tfevents")}
    assert {Path(name).suffix for name in kinds} <= MAY_HOLD_PICKLES | PLAIN
    assert {path.name for path in files} >= NAMES_CLASSES
    # Only files that are attacked below hold what looks like the name of a class.
    naming = {p.name for p in files if p.suffix in (".json", ".txt") and ":" in class_names(p)}
    assert naming <= NAMES_CLASSES


def class_names(path: Path) -> str:
    return " ".join(word for word in path.read_text().split('"') if word.startswith("lightrec."))


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("kind", NAMED)
def test_nothing_that_a_file_names_is_imported_or_called(run, marker, kind, payload):
    forge, load = NAMED[kind]
    forge(run, payload, arguments(payload, marker))
    refused = None
    try:
        load(run)
    except Exception as error:
        refused = error
    assert not marker.exists()
    assert "payload_on_the_path" not in sys.modules
    assert isinstance(refused, RunError)
    assert "belongs neither to lightrec nor to an installed plugin" in str(refused)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("lightrec.plugins:os", "and there is no such class."),
        ("lightrec.plugins:discover", "and there is no such class."),
        (
            "lightrec.nowhere:Policy",
            "cannot be imported: ModuleNotFoundError: No module named 'lightrec.nowhere'.",
        ),
        ("lightrec.recommend:Recommender", "which is not a subclass of Policy."),
        ("lightrec.ranking.ranker:Ranker", "which is not a subclass of Policy."),
    ],
)
def test_what_belongs_to_lightrec_must_be_what_is_expected(run, name, why):
    forge_class("policy")(run, name, {})
    with pytest.raises(RunError) as caught:
        Policy.load(run / "policy")
    assert str(caught.value).endswith(why)


class Pickle:
    """What runs a command when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("kind", [RankingModule, SequenceData])
def test_a_pickle_in_a_checkpoint_is_not_loaded(run, marker, kind):
    torch.save({"state_dict": {}, "epoch": Pickle(marker)}, run / "ranker" / "model.ckpt")
    with pytest.raises(Exception, match="Weights only load failed"):
        kind.load_from_checkpoint(run / "ranker" / "model.ckpt")
    assert not marker.exists()


def test_a_pickle_in_a_checkpoint_is_not_loaded_by_commands(run, marker):
    torch.save({"state_dict": {}, "epoch": Pickle(marker)}, run / "ranker" / "model.ckpt")
    with pytest.raises(Exception, match="Weights only load failed"):
        main(["test", "-c", "generic/ranker", "--out", str(run / "ranker")])
    assert not marker.exists()


def test_a_pickle_in_an_array_is_not_loaded(run, marker):
    array = np.array([Pickle(marker)], dtype=object)
    np.save(run / "data" / "items.npy", array, allow_pickle=True)
    with pytest.raises(ValueError, match="Python objects"):
        np.asarray(EventStore(run / "data").items)
    assert not marker.exists()


def test_a_data_module_builds_nothing_that_a_checkpoint_names(run, marker):
    content = {
        "state_dict": {},
        "pytorch-lightning_version": "2.6.0",
        "datamodule_hyper_parameters": {
            "_instantiator": "lightning.pytorch.cli.instantiate_module",
            "data": str(run / "data"),
            "text_encoder": {"class_path": "payload_on_the_path.Attack"},
        },
    }
    torch.save(content, run / "ranker" / "model.ckpt")
    with pytest.raises(RunError, match="belongs neither to lightrec nor to an installed plugin"):
        SequenceData.load_from_checkpoint(run / "ranker" / "model.ckpt")
    assert not marker.exists()


def test_checkpoints_of_a_run_load_by_themselves(tiny_run):
    module = RankingModule.load_from_checkpoint(tiny_run / "ranker" / "model.ckpt").eval()
    ranker = Ranker.from_pretrained(tiny_run / "ranker").eval()
    history = torch.tensor([[1, 2, 3]])
    torch.testing.assert_close(module.ranker.scores(history), ranker.scores(history))
    for kind, stage in (
        (ChoiceModule, "users_a"),
        (ChoiceModule, "users_b"),
        (PolicyModule, "policy"),
    ):
        assert kind.load_from_checkpoint(tiny_run / stage / "model.ckpt")


class Leaf(Part):
    """A part within a part."""

    def __init__(self, size: int = 2) -> None:
        super().__init__()
        self.linear = nn.Linear(size, size)


class Tower(Part):
    """A part of parts, given in all the ways there are."""

    def __init__(
        self,
        inner: Leaf,
        several: list[Leaf] | None,
        later: Callable[[int], Leaf] = Leaf,
        depth: int = 1,
    ) -> None:
        super().__init__()
        self.inner, self.several, self.made = inner, nn.ModuleList(several), later(depth)


@pytest.mark.parametrize("told", [{}, {"init_args": {}}])
def test_what_describes_a_part_has_a_class(told):
    with pytest.raises(RunError, match="which has no class_path: the file is damaged"):
        built(told, RandomPolicy)


def test_a_part_of_parts_is_built_again_with_its_weights(tmp_path):
    tower = Tower(Leaf(3), [Leaf(), Leaf(4)], partial(Leaf), 5)
    tower.save_pretrained(tmp_path)
    again = Part.load(tmp_path)
    assert again.description == tower.description
    assert again.description["init_args"]["several"][1] == Leaf(4).description
    for name, value in tower.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
    edit(tmp_path / "config.json", lambda content: content.update(several=[]))
    with pytest.raises(RunError, match=r"several\.0\.linear\.bias, .* belong to no part"):
        Part.load(tmp_path)
    plain = Tower(Leaf(), [])
    assert type(built(plain.description, Part).made) is Leaf
    assert not plain.description["init_args"]["several"]


@pytest.mark.parametrize(
    ("inner", "told"),
    [
        ("lightrec.policies.baselines.RandomPolicy", "which is not a subclass of Leaf"),
        (f"{__name__}.Leaf", "which cannot be built: .*unexpected keyword argument 'colour'"),
    ],
)
def test_a_part_within_a_part_must_be_of_its_type(inner, told):
    kept = Tower(Leaf(), []).description
    kept["init_args"]["inner"] = {"class_path": inner, "init_args": {"colour": "red"}}
    with pytest.raises(RunError, match=told):
        built(kept, Part)


LOADERS = {
    "text": lambda folder: TextEncoder(folder).encode(["tea"]),
    "pictures": lambda folder: ImageEncoder(folder).size,
    "pairs": PairClassifier,
    "lines": Decoder,
}
CODE = {"model_type": "of-its-own", "auto_map": {"AutoConfig": "payload.Attack"}}
ADAPTER = {"base_model_name_or_path": "elsewhere", "peft_type": "LORA"}


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("config.json", CODE, "code of its own"),
        ("adapter_config.json", ADAPTER, "of a model that lies elsewhere"),
    ],
)
@pytest.mark.parametrize("load", LOADERS.values(), ids=LOADERS)
def test_code_in_the_folder_of_a_model_is_not_run(
    marker, monkeypatch, tmp_path, load, file, content, said
):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "payload.py").write_text(
        f"import pathlib\npathlib.Path({str(marker)!r}).touch()\n"
        "from transformers import BertConfig\n"
        "class Attack(BertConfig): model_type = 'of-its-own'\n"
    )
    (folder / file).write_text(json.dumps(content))
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    with pytest.raises(FetchError, match=said):
        load(str(folder))
    assert not marker.exists()


def test_a_language_model_of_pickles_is_refused(marker, tmp_path):
    tiny.tiny_text_model(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save({"weight": Pickle(marker)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(FetchError, match="could not be loaded"):
        Decoder(str(tmp_path))
    assert not marker.exists()


def test_settings_that_a_stage_notes_are_not_used_again(
    run, marker, monkeypatch, lightrec_tiny_files
):
    def forge(facts):
        facts["overrides"].append("--trainer.callbacks+=payload_on_the_path.Attack")

    def stop(stage):
        ParsedRecipe(stage)
        raise KeyboardInterrupt

    edit(run / "policy" / "stage.json", forge)
    monkeypatch.setattr(assumptions, "train", stop)
    log, items = lightrec_tiny_files
    with pytest.raises(KeyboardInterrupt):
        pipeline.run(
            "generic", out=run, log=log, items=items, until="assumptions", overrides=tiny.FAST
        )
    assert not marker.exists()


MODULE = "payload_on_the_path.Attack"
UPDATED = {
    "data, function": ("data", lambda made, name, given: made["recipe"].update(function=name)),
    "ranker, model": ("ranker", lambda made, name, given: made["recipe"].update(model=given)),
    "ranker, loss": (
        "ranker",
        lambda made, name, given: made["recipe"]["model"]["init_args"].update(loss=given),
    ),
    "ranker, tower": (
        "ranker",
        lambda made, name, given: made["recipe"]["model"]["init_args"].update(tower=name),
    ),
    "ranker, callbacks": (
        "ranker",
        lambda made, name, given: made["recipe"]["trainer"].update(callbacks=[given]),
    ),
    "ranker, overrides": (
        "ranker",
        lambda made, name, given: made["overrides"].append(f"--trainer.callbacks+={name}"),
    ),
}
"""Where an update's stages might be told to import something."""


@pytest.mark.parametrize(
    "name",
    [
        MODULE,
        "subprocess.Popen",
        "lightrec.plugins.importlib.import_module",
        "lightrec.data.files.check_file",
        "lightning.pytorch.callbacks.ModelCheckpoint",
    ],
)
@pytest.mark.parametrize("place", UPDATED)
def test_a_recipe_that_a_run_notes_imports_nothing(run, marker, place, name):
    stage, change = UPDATED[place]
    edit(run / stage / "stage.json", lambda made: change(made, name, described(name, {})))
    facts = Run(run).stamp(stage)
    with gate(), pytest.raises(LightrecError):
        pipeline.check(Stage(stage, facts["recipe"], run / stage, facts["overrides"]))
    assert not marker.exists()
    assert "payload_on_the_path" not in sys.modules


def test_an_update_reads_recipes_behind_the_gate(run, marker, tmp_path, capsys):
    edit(run / "data" / "stage.json", lambda made: UPDATED["data, function"][1](made, MODULE, {}))
    log = tmp_path / "day.csv"
    log.write_text("customer,sku,date\nu1,i1,2024-02-01T12:00:00\n")
    assert main(["update", str(run), "--log", str(log)]) == 2
    assert "names the function payload_on_the_path.Attack, which belongs" in capsys.readouterr().err
    assert not marker.exists()


HOOKS = """
    @hookimpl
    def lightrec_policies():
        return {"Elsewhere": "package_of_a_plugin:Elsewhere"}
"""
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
    monkeypatch.setenv("LIGHTREC_DISABLED_PLUGINS", "chess")
    with pytest.raises(RunError):
        trusted_class(name, Policy)
    monkeypatch.delenv("LIGHTREC_DISABLED_PLUGINS")
    monkeypatch.setenv("LIGHTREC_LOAD_PLUGINS", "video")
    lightrec_plugins.installed.cache_clear()
    with pytest.raises(RunError):
        trusted_class(name, Policy)
    monkeypatch.delenv("LIGHTREC_LOAD_PLUGINS")
    lightrec_plugins.installed.cache_clear()
    # The module is not the plugin's own package: only the class that it declares may be imported.
    assert point.value == "hooks_of_chess"
    with pytest.raises(RunError):
        trusted_class("package_of_a_plugin:Another", Policy)
    assert "package_of_a_plugin" not in sys.modules
    assert trusted_class(name, Policy).__name__ == "Elsewhere"


def test_a_plugin_in_a_namespace_does_not_bring_the_namespace(lightrec_plugins, tmp_path):
    for package in ("mine", "theirs"):
        (lightrec_plugins.folder / "shared_namespace" / package).mkdir(parents=True)
        (lightrec_plugins.folder / "shared_namespace" / package / "__init__.py").touch()
        path = lightrec_plugins.folder / "shared_namespace" / package / "policies.py"
        path.write_text(ELSEWHERE)
    hooks = lightrec_plugins.folder / "shared_namespace" / "mine" / "hooks.py"
    hooks.write_text("LIGHTREC_API = 1\n")
    from importlib.metadata import EntryPoint

    point = EntryPoint("mine", "shared_namespace.mine.hooks", "lightrec")
    lightrec_plugins.entry_points.append(point)
    assert trusted_class("shared_namespace.mine.policies:Another", Policy).__name__ == "Another"
    with pytest.raises(RunError):
        trusted_class("shared_namespace.theirs.policies:Another", Policy)


def test_the_video_plugin_and_lightrec_are_trusted():
    pytest.importorskip("lightrec_video")
    from lightrec.data.domain import Domain

    assert trusted_class("lightrec_video.domain:VideoDomain", Domain).name == "video"
    assert trusted_class("lightrec.ranking.item_models.base:Popularity", ItemModel) is Popularity


class Cautious(RandomPolicy):
    """A policy as somebody defines it in a notebook."""


def test_a_class_of_a_notebook_is_found_while_it_is_defined(tmp_path):
    Cautious(5).save_pretrained(tmp_path)
    assert type(Cautious.from_pretrained(tmp_path)) is Cautious
    assert type(Policy.load(tmp_path)) is Cautious


def test_a_class_of_a_notebook_is_refused_in_words_elsewhere(tmp_path):
    RandomPolicy(5).save_pretrained(tmp_path)
    (tmp_path / "class.txt").write_text("__main__:MyPolicy\n")
    with pytest.raises(RunError) as caught:
        Policy.load(tmp_path)
    assert str(caught.value) == (
        "A file names the class __main__:MyPolicy, which belongs neither to lightrec nor to an "
        "installed plugin, so that it was not imported. If you trust the file, install the class's "
        "package as a plugin, or import the class before you load the file."
    )
    assert type(RandomPolicy.from_pretrained(tmp_path)) is RandomPolicy
