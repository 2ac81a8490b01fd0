"""Classes that moved to packages beside lightrec are found by the paths that files have of them."""

import sys
from importlib import import_module

import pytest
from lightrec_lab.adversarial import GAIL
from lightrec_worlds.greed import Greed

from lightrec import plugins
from lightrec.__main__ import _do
from lightrec.errors import PluginError, RecipeError, warn
from lightrec.moved import moved, new_paths
from lightrec.ranking.module import RankingModule
from lightrec.rewards.base import Reward
from lightrec.settings import make_of
from lightrec.simulators.base import Simulator
from lightrec.stages import recipes
from lightrec.stages.stage import Stage, function_of
from lightrec.stages.train import ParsedRecipe
from lightrec.trust import built, trusted_class

OLD = "lightrec.learners.adversarial.GAIL"
NEW = new_paths()[OLD]


class Holder:
    def __init__(self, reward: Reward) -> None:
        self.reward = reward


@pytest.mark.parametrize("old", new_paths())
def test_each_is_where_the_table_says_and_is_found_where_it_was(old, capsys):
    module, _, name = new_paths()[old].rpartition(".")
    moved = getattr(import_module(module), name)
    assert moved.__module__ == module
    warn.cache_clear()
    module, _, name = old.rpartition(".")
    assert getattr(import_module(module), name) is moved
    assert f"{old} is now {new_paths()[old]}, of the package" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["lightrec.nn.towers.Fish", "lightrec.encoders.fused.Fish", "lightrec.fish"]
)
def test_what_never_was_there_is_no_old_name(name):
    module, _, name = name.rpartition(".")
    with pytest.raises(AttributeError, match=f"has no attribute '{name}'"):
        getattr(import_module(module), name)
    with pytest.raises(ModuleNotFoundError):
        import_module(f"{module}.fish")


def test_an_old_module_of_a_package_that_is_not_here_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightrec_images.fused", None)
    with pytest.raises(ImportError, match=r"Fused is part of lightrec-images: `pip install"):
        import_module("lightrec.encoders.fused").Fused  # noqa: B018


def test_an_old_path_is_followed_with_a_warning(capsys):
    assert trusted_class("lightrec.simulators.worlds.greed:Greed", Simulator) is Greed
    warning = capsys.readouterr().err
    assert "is now lightrec_worlds.greed.Greed, of the package lightrec-worlds" in warning
    assert isinstance(built({"class_path": OLD}, Reward), GAIL)
    assert isinstance(make_of(Holder, {"reward": {"class_path": OLD}}).reward, GAIL)


def test_settings_keep_all_else():
    settings = {OLD: [OLD, f"{OLD}s", 3], "other": ("lightrec.policies.slate.SlatePolicy", None)}
    assert moved(settings) == {**settings, OLD: [NEW, f"{OLD}s", 3]}
    assert moved(f'["{OLD}"]') == f'["{NEW}"]'


@pytest.mark.parametrize("where", ["in the recipe", "on the line"])
def test_a_recipe_with_an_old_path_is_parsed(where, tmp_path):
    recipe, more = recipes.find("lab/gail")[1], []
    if where == "in the recipe":
        recipe["model"]["init_args"]["reward"]["class_path"] = OLD
    else:
        more = ["--model.init_args.reward", OLD]
    parsed = ParsedRecipe(Stage("policy", recipe, tmp_path / "policy"), more)
    assert parsed.config["model"]["init_args"]["reward"]["class_path"] == NEW


def test_a_setting_that_is_gone_is_left_out_with_a_warning_or_says_why(tmp_path, capsys):
    recipe = {"function": "lightrec.stages.data.prepare_log", "drop_unreadable_times": True}
    words = ["--drop_unreadable_times", "true", "--k_core=3"]
    _, settings = function_of(Stage("data", recipe, tmp_path / "data", words))
    assert settings["k_core"] == 3
    assert capsys.readouterr().err.count("--skip-broken broken.csv") == 1
    with pytest.raises(RecipeError, match="setting decay of RankingModule is gone: nothing gained"):
        make_of(RankingModule, {"decay": 0.5})


@pytest.mark.parametrize(
    ("section", "name"), [("model", "reader"), ("data", "reads"), ("data", "read_length")]
)
def test_a_recipe_that_had_words_read_is_told_what_reads_them_now(section, name, tmp_path):
    recipe = recipes.find("generic/ranker")[1]
    recipe[section]["init_args"][name] = None
    with pytest.raises(RecipeError, match=rf"setting {name} of \w+ is gone: .* a text encoder"):
        ParsedRecipe(Stage("ranker", recipe, tmp_path / "ranker"))


def test_a_file_that_says_an_old_path_is_named(tmp_path, capsys):
    file = tmp_path / "policy.yaml"
    file.write_text(f"model: {{init_args: {{reward: {{class_path: {OLD}}}}}}}\n")
    warn.cache_clear()
    assert recipes.read(file)["model"]["init_args"]["reward"] == {"class_path": NEW}
    said = f"{OLD} is now {NEW}, of the package lightrec-lab. Write the new name in {file}."
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("use", "package"),
    [
        (lambda: plugins.installed().get("simulators", "Greed"), "lightrec-worlds"),
        (lambda: recipes.load("worlds"), "lightrec-worlds"),
        (lambda: recipes.find("worlds/ppo"), "lightrec-worlds"),
        (lambda: _do(["tune", "-c", "video/ranker"]), "lightrec-tune"),
        (lambda: _do(["data", "fetch", "movielens-100k"]), "lightrec-formats"),
        (lambda: make_of(Holder, {"reward": "TrialData"}), "lightrec-news"),
    ],
)
def test_lightrec_alone_says_which_package_has_it(use, package, monkeypatch):
    alone = plugins.discover([])
    monkeypatch.setattr(plugins, "installed", lambda: alone)
    with pytest.raises((PluginError, RecipeError), match=f"part of {package}: `pip install"):
        use()
