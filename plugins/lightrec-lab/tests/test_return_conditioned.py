"""A return is asked for: of a log in which it depends on what was shown, and of no log."""

import pytest
import torch
from lightrec_lab.offline import ReturnConditionedLoss
from lightrec_lab.return_conditioned import RETURN_TO_GO, ReturnConditioned
from lightrec_worlds.tower import TowerPolicy
from tensordict import TensorDict

from lightrec.keys import Key
from lightrec.learners.transitions import FEATURES
from lightrec.policies.base import LearnedPolicy, session_start

ITEMS = 3


def conditioned():
    torch.manual_seed(0)
    policy = TowerPolicy(ITEMS, ITEMS, size=0, hidden=[8]).set_items(torch.eye(ITEMS + 1)[:, 1:])
    return ReturnConditioned(policy, (16,))


def states(count):
    rows = TensorDict(session_start(torch.zeros(count, 1, dtype=torch.int64)), [count])
    return rows.set(FEATURES, conditioned().session_features(rows))


def test_what_is_shown_is_what_brought_the_return_asked_for():
    """Item i brought i - 1 in the log, so a return names its item; the highest is asked for."""
    policy, shown = conditioned(), torch.arange(300) % ITEMS + 1
    rows = states(len(shown)).set(Key.ACTION, shown.unsqueeze(1))
    after = TensorDict({"reward": shown.unsqueeze(1) - 1.0}, [len(shown)])
    rows.set("next", after)
    loss = ReturnConditionedLoss(policy)
    optimizer = torch.optim.Adam(policy.parameters(), 0.02)
    for _ in range(200):
        losses = loss(rows)
        optimizer.zero_grad()
        (losses["loss_actor"] + losses["loss_value"]).backward()
        optimizer.step()
    wanted = states(ITEMS)
    wanted[RETURN_TO_GO] = torch.arange(ITEMS).unsqueeze(1).float()
    assert policy.columns(wanted).mode.flatten().tolist() == [1, 2, 3]
    assert policy.columns(wanted).log_prob(wanted[RETURN_TO_GO].long() + 1).exp().min() > 0.9
    assert policy.columns(states(1)).mode.item() == ITEMS
    # The .99-expectile e of 0, 1 and 2: .01 (e + (e - 1)) = .99 (2 - e).
    assert policy.expected(states(1)[FEATURES]).item() == pytest.approx(1.99 / 1.01, abs=0.02)


def test_it_begins_as_the_policy_that_it_is_made_of_and_is_loaded_again(tmp_path):
    policy, state = conditioned(), states(2)
    torch.testing.assert_close(policy.logits(state), policy.policy.logits(state))
    torch.nn.init.normal_(policy.turn[-1].weight)
    policy.eval().save_pretrained(tmp_path)
    assert torch.equal(LearnedPolicy.load(tmp_path).logits(state), policy.logits(state))
