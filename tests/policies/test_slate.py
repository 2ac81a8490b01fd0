"""SlateQ's policy: it shows the slate of largest value, and is loaded whatever its class."""

import pytest
import torch
from tensordict import TensorDict

from lightrec.errors import PluginError
from lightrec.keys import Key
from lightrec.nn.best_slate import best_slate
from lightrec.policies.base import session_start
from lightrec.policies.baselines import RandomPolicy
from lightrec.policies.candidate import CandidatePolicy
from lightrec.policies.slate import SlatePolicy
from lightrec.ranking.ranker import Ranker

N = 6


def policy_of(seed):
    torch.manual_seed(seed)
    policy = CandidatePolicy(Ranker(N, size=4), size=2, hidden=8)
    for parameter in policy.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    policy.freeze_items()
    return policy.eval().requires_grad_(False)


def test_a_slate_policy_shows_the_slate_of_largest_value():
    choices, valuing = policy_of(1), policy_of(2)
    policy = SlatePolicy(choices, valuing, slate_size=2).eval().requires_grad_(False)
    now = TensorDict(session_start(torch.randint(0, N + 2, (4, 5))), [4])
    now[Key.MASK] = (torch.arange(N + 1) > 0).repeat(4, 1)
    now[Key.MASK][0, 1:4] = False
    features = policy.session_features(now)
    values = (policy.level(features) + valuing.logits(now)).masked_fill(~now[Key.MASK], -torch.inf)
    taken, nothing = choices.logits(now), policy.nothing(features)
    shown = policy.act(now.clone(), 2)[Key.ACTION]
    assert torch.equal(shown, best_slate(values, taken, nothing, 2).columns)
    assert set(shown[0].tolist()) <= {4, 5, 6}


class Scaled(RandomPolicy):
    """Keeps what only its constructor is given."""

    def __init__(self, num_items: int, scale=None, seed: int = 0):
        super().__init__(num_items)


def test_a_policy_that_would_be_loaded_without_an_argument_is_not_saved(tmp_path):
    Scaled(N, seed=3).save_pretrained(tmp_path / "plain")
    with pytest.raises(PluginError, match=r"Scaled of .* an argument scale that cannot be written"):
        Scaled(N, torch.ones(2)).save_pretrained(tmp_path / "lost")
    assert not (tmp_path / "lost").exists()
