"""What a learner, a reward or a module leaves out is said in a sentence."""

from types import SimpleNamespace

import pytest
import torch

from lightrec.errors import PluginError, RecipeError
from lightrec.learners.playing import PlayingStage
from lightrec.learners.policy_stage import PolicyStage


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
