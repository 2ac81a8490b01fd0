"""Classes that moved to packages beside lightrec are found by the paths that files have of them."""

from importlib import import_module

import pytest
from lightrec_lab.adversarial import GAIL
from lightrec_worlds.greed import Greed

from lightrec import plugins
from lightrec.__main__ import _do
from lightrec.errors import PluginError, RecipeError
from lightrec.moved import moved, new_paths
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
def test_each_is_where_the_table_says_and_no_longer_where_it_was(old):
    module, _, name = new_paths()[old].rpartition(".")
    assert getattr(import_module(module), name).__module__ == module
    module, _, name = old.rpartition(".")
    with pytest.raises((ModuleNotFoundError, AttributeError)):
        getattr(import_module(module), name)


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


def test_a_setting_that_is_gone_is_left_out_with_a_warning(tmp_path, capsys):
    recipe = {"function": "lightrec.stages.data.prepare_log", "drop_unreadable_times": True}
    words = ["--drop_unreadable_times", "true", "--k_core=3"]
    _, settings = function_of(Stage("data", recipe, tmp_path / "data", words))
    assert settings["k_core"] == 3
    assert capsys.readouterr().err.count("--skip-broken broken.csv") == 1


@pytest.mark.parametrize(
    ("use", "package"),
    [
        (lambda: plugins.installed().get("simulators", "Greed"), "lightrec-worlds"),
        (lambda: plugins.installed().get("offline_learners", "cql"), "lightrec-lab"),
        (lambda: recipes.load("careful"), "lightrec-lab"),
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
