"""SlateQ's policy: it shows the slate of largest value, and is loaded whatever its class."""

import pytest
import torch
from lightrec_worlds.tower import TowerPolicy
from tensordict import TensorDict

from lightrec.errors import RunError
from lightrec.keys import Key
from lightrec.nn.best_slate import best_slate
from lightrec.policies.base import LearnedPolicy, Policy
from lightrec.policies.baselines import RandomPolicy
from lightrec.policies.slate import SlatePolicy

N, D, F = 6, 3, 2


def tower(seed=0, **settings):
    torch.manual_seed(seed)
    policy = TowerPolicy(N, D, F, **{"pools": 2, "history_length": 4, **settings})
    policy.set_items(torch.randn(N + 1, D))
    for parameter in policy.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return policy.eval().requires_grad_(False)


def state(rows=4, candidates=None):
    torch.manual_seed(1)
    data = {
        Key.HISTORY: torch.randint(0, N + 2, (rows, 5)),
        Key.OBSERVATION: torch.randn(rows, F),
        Key.STEP: torch.arange(rows).unsqueeze(1),
        Key.ACCEPTED_TOTAL: torch.arange(rows).unsqueeze(1) / 2,
    }
    if candidates is None:
        data[Key.MASK] = torch.ones(rows, N + 1, dtype=torch.bool).index_fill_(
            1, torch.tensor([0]), False
        )
    else:
        data[Key.CANDIDATES] = candidates
    return TensorDict(data, [rows])


def slate_policy():
    policy = SlatePolicy(tower(1), tower(2), slate_size=2)
    return policy.eval().requires_grad_(False)


def test_a_slate_policy_shows_the_slate_of_largest_value():
    policy, now = slate_policy(), state()
    now[Key.MASK][0, 1:4] = False
    features = policy.session_features(now)
    values = (policy.level(features) + tower(2).logits(now)).masked_fill(~now[Key.MASK], -torch.inf)
    taken, nothing = tower(1).logits(now), policy.nothing(features)
    shown = policy.act(now.clone(), 2)[Key.ACTION]
    assert torch.equal(shown, best_slate(values, taken, nothing, 2).columns)
    assert set(shown[0].tolist()) <= {4, 5, 6}


def test_a_folder_without_a_policy_is_refused(tmp_path):
    with pytest.raises(RunError, match=r"no Policy in .*: class.txt is missing"):
        Policy.load(tmp_path)
    RandomPolicy(N).save_pretrained(tmp_path)
    with pytest.raises(RunError, match=r"RandomPolicy, which is not a subclass of LearnedPolicy"):
        LearnedPolicy.load(tmp_path)
