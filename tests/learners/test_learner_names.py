"""A module takes any learner as its loss, by a name or a path; what one leaves out is said."""

import importlib
from types import SimpleNamespace

import pytest
import torch

from lightrec import plugins
from lightrec.errors import LightrecError, PluginError, RecipeError, RunError
from lightrec.learners.offline import OfflinePolicyModule
from lightrec.learners.on_policy import PolicyModule
from lightrec.learners.playing import PlayingStage
from lightrec.learners.policy_stage import PolicyStage
from lightrec.stages.run import check
from lightrec.stages.stage import Stage

MINE = """
from lightrec.learners.algorithms import PPO, Learner
from lightrec.users.irl import RewardLearner

class Mine(PPO):
    pass

class Unfinished(Learner):
    pass
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A module beside the recipe, under a name that no other test has imported."""
    name = f"learners_of_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    return name


def checked(folder, loss, module="PolicyModule"):
    recipe = {
        "reads": ["data", "ranker", "users_a"],
        "seed_everything": 0,
        "trainer": {"max_epochs": 1},
        "model": {"class_path": module, "init_args": {"loss": loss}},
        "data": {"class_path": "PolicyData"},
    }
    check(Stage("policy", recipe, folder / "policy"))


@pytest.mark.parametrize("module", ["PolicyModule", "OfflinePolicyModule"])
def test_a_recipe_names_a_learner_by_its_import_path(mine, tmp_path, module):
    checked(tmp_path, f"{mine}.Mine", module)
    checked(tmp_path, "ppo" if module == "PolicyModule" else "iql", module)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ("ppp", r"no 'ppp' among the learners. Installed are: .*ppo"),
        ("iql", "no 'iql' among the learners"),
        ("{}.Gone", "cannot be imported: AttributeError"),
        ("no_such_module.Mine", "cannot be imported: ModuleNotFoundError"),
        ("{}.RewardLearner", "is not a subclass of Learner"),
        ("{}.Unfinished", "lacks make_loss: define it in the class"),
    ],
)
def test_a_recipe_of_no_learner_is_refused_before_a_run(mine, tmp_path, loss, message):
    with pytest.raises(LightrecError, match=message):
        checked(tmp_path, loss.format(mine))


def test_a_checkpoint_imports_no_learner_of_a_stranger(mine):
    module = PolicyModule(4, 3, loss=f"{mine}.Mine")
    with pytest.raises(RunError, match="belongs neither to lightrec nor to an installed plugin"):
        _ = module._kind
    kind = importlib.import_module(mine).Mine
    assert PolicyModule(4, 3, loss=f"{mine}.Mine")._kind is kind
    assert OfflinePolicyModule(4, 3, loss=f"{mine}.Mine")._kind is kind


def test_learners_of_rewards_and_user_models_have_slots_of_their_own(lightrec_plugins):
    installed = plugins.installed()
    assert {*installed.parts["reward_learners"]} == {"MaxEnt"}
    assert {*installed.parts["choice_models"]} == {"PooledChoice", "RecurrentChoice"}
    hooks = (
        'lightrec_reward_learners = hookimpl(lambda: {"PPO": "lightrec.learners.algorithms:PPO"})'
    )
    lightrec_plugins.add("wrong", hooks)
    with pytest.raises(PluginError, match=r"not a subclass of lightrec\.users\.irl:RewardLearner"):
        plugins.installed().get("reward_learners", "PPO").load()


class Mute(PlayingStage):
    """Has no setting that names its learner, and a property that fails."""

    slot = "learners"

    def __init__(self, num_items: int, vector_size: int, **settings):
        super().__init__(num_items, vector_size, **settings)

    @property
    def broken(self):
        return self.num_items.nothing_of_the_kind


def test_a_setting_that_a_base_class_reads_or_an_attribute_that_a_property_lacks_is_named():
    with pytest.raises(RecipeError, match="Mute has no setting 'loss', which its base class reads"):
        _ = Mute(6, 2)._kind
    assert Mute(6, 2, final_rate=0.5).settings.final_rate == 0.5
    with pytest.raises(RuntimeError, match="has no attribute 'nothing_of_the_kind'"):
        _ = Mute(6, 2).broken
    with pytest.raises(AttributeError, match="has no attribute 'no_property'"):
        _ = Mute(6, 2).no_property


def test_a_reward_that_does_not_say_whether_the_policy_learns_or_no_loss_is_refused():
    stage = SimpleNamespace(reward=SimpleNamespace(teach=lambda *_: None))
    with pytest.raises(PluginError, match=r"`teach` of .* gave None; expected is True or False"):
        PlayingStage._teach(stage, None, 0)
    stage = SimpleNamespace(_optimizer=lambda which: None, learner=torch.nn.Identity())
    with pytest.raises(PluginError, match=r"`losses` of Identity .* gave value; expected is one"):
        PolicyStage.update(stage, {"value": torch.ones(2)})
