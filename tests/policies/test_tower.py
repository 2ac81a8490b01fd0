"""The policy of two towers, and SlateQ's: what they read, and that states and histories agree."""

import pytest
import torch
from tensordict import TensorDict

from lightrec.errors import RunError
from lightrec.keys import Key
from lightrec.nn.best_slate import best_slate
from lightrec.policies.base import LearnedPolicy, Policy
from lightrec.policies.baselines import RandomPolicy
from lightrec.policies.slate import SlatePolicy
from lightrec.policies.tower import TowerPolicy

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


def test_items_are_standardised_and_nothing_is_a_direction():
    policy = tower()
    items = policy.vectors[1:-1, :-1]
    torch.testing.assert_close(items.mean(0), torch.zeros(D), atol=1e-6, rtol=0)
    torch.testing.assert_close(items.std(0, correction=0), torch.ones(D))
    assert policy.vectors[0].eq(0).all()
    assert policy.vectors[-1].tolist() == [0, 0, 0, 1]


def test_sums_over_histories_fade_by_half_lives():
    policy = tower()
    history = torch.tensor([[0, 0, 2, 5], [0, 0, 0, N + 1]])
    found = policy.user_vectors(history).view(2, 2, D + 1)
    ages = torch.tensor([3.0, 2, 1, 0])
    for pool, half_life in enumerate((1.0, 4.0)):
        weights = 0.5 ** (ages / half_life)
        weights /= weights.sum().sqrt()
        wanted = weights[2] * policy.vectors[2] + weights[3] * policy.vectors[5]
        torch.testing.assert_close(found[0, pool], wanted)
        torch.testing.assert_close(found[1, pool], weights[3] * policy.vectors[-1])


def test_scores_are_a_query_times_both_item_vectors():
    policy, now = tower(), state()
    table = policy.item_table()
    assert torch.equal(table[:, :D], policy.vectors[:-1, :D])
    query = policy.query(now)
    scores = torch.stack([query @ row for row in table], 1)
    torch.testing.assert_close(policy.logits(now)[:, 1:], scores[:, 1:])


def test_an_untrained_policy_scores_all_items_the_same():
    policy = TowerPolicy(N, D, F).set_items(torch.randn(N + 1, D))
    assert policy.logits(state()).unique().tolist() == [0]


def test_candidates_are_scored_as_among_all():
    policy = tower()
    offer = torch.tensor([[3, 1, 0], [2, 6, 5], [4, 0, 0], [1, 2, 3]])
    among_all, offered = policy.logits(state()), policy.logits(state(candidates=offer))
    torch.testing.assert_close(offered[offer > 0], among_all.gather(1, offer)[offer > 0])
    assert offered[offer == 0].eq(-torch.inf).all()
    acted = policy.act(state(candidates=offer), 2)
    best = among_all.gather(1, offer).masked_fill(offer == 0, -torch.inf)
    wanted = offer.gather(1, best.topk(2).indices)
    assert torch.equal(acted[Key.ACTION], wanted)


def test_what_is_not_told_is_zero():
    policy, now = tower(), state()
    now[Key.OBSERVATION].zero_()
    found = policy.scores(now.exclude(Key.OBSERVATION, Key.MASK))
    torch.testing.assert_close(found[:, 1:], policy.logits(now)[:, 1:])


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


@pytest.mark.parametrize("make", [tower, slate_policy])
def test_a_saved_policy_is_loaded_whatever_its_class(make, tmp_path):
    policy, now = make(), state()
    policy.save_pretrained(tmp_path)
    loaded = Policy.load(tmp_path)
    assert type(loaded) is type(policy)
    torch.testing.assert_close(loaded.logits(now), policy.logits(now))


def test_a_folder_without_a_policy_is_refused(tmp_path):
    with pytest.raises(RunError, match=r"no Policy in .*: class.txt is missing"):
        Policy.load(tmp_path)
    RandomPolicy(N).save_pretrained(tmp_path)
    with pytest.raises(RunError, match=r"RandomPolicy, which is not a subclass of LearnedPolicy"):
        LearnedPolicy.load(tmp_path)
