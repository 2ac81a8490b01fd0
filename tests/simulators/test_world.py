"""What worlds add to simulators, shown by the smallest world."""

from dataclasses import replace

import pytest
import torch
from lightrec_testing.simulators import TinyWorld

from lightrec.errors import PluginError, RecipeError
from lightrec.evaluation.named_policies import world_policies
from lightrec.keys import Key
from lightrec.rewards.base import Reward
from lightrec.simulators.base import Outcomes, Response

OFFER = TinyWorld.OFFER


def test_candidates_are_offered_anew_and_the_truth_is_kept_apart():
    world = TinyWorld(8, reward=lambda row: row["next", Key.TAKEN].float())
    steps = world.rollout(5, break_when_any_done=False)
    offers, following = steps[Key.CANDIDATES], steps["next", Key.CANDIDATES]
    assert offers.sort(-1).values.diff(dim=-1).gt(0).all()
    same = (offers.unsqueeze(-1) == following.unsqueeze(-2)).any(-1).all(-1)
    assert not same.any(1).all()
    luck = steps[Key.LATENT, "luck"]
    torch.testing.assert_close(steps["next", Key.TRUE_REWARD].squeeze(-1), luck)
    assert torch.equal(steps["next", "reward"], steps["next", Key.ACCEPTED])
    torch.testing.assert_close(steps["next", Key.LATENT, "luck"], 0.9 * luck)


@pytest.mark.parametrize(("size", "limit"), [(2, 31.3), (3, 49.7)])
def test_random_slates_are_fair_in_order(size, limit):
    """The limits are the 99.9 % quantiles of χ² with 11 and 23 degrees of freedom."""
    world = TinyWorld(6000, slate_size=size)
    state = world.reset()
    slate = world.rand_action(state)[Key.ACTION]
    place = (state[Key.CANDIDATES].unsqueeze(1) == slate.unsqueeze(2)).int().argmax(2)
    code = (place * OFFER ** torch.arange(size)).sum(1)
    counts = torch.bincount(code)[code.unique()].float()
    wanted = 6000 / len(counts)
    assert len(counts) == {2: 12, 3: 24}[size]
    assert ((counts - wanted) ** 2 / wanted).sum() < limit


class Baskets(TinyWorld):
    """Users take every odd item, each worth its number, and pass on the rest."""

    def respond(self, state, slate):
        taken = slate % 2 == 1
        outcomes = Outcomes(
            torch.stack([taken, ~taken & (slate > 0)], 1),
            torch.ones(len(slate), 2, slate.shape[1]),
            torch.tensor([[0.75, 0.25]]).expand(len(slate), -1),
        )
        changed = {Key.LATENT: state[Key.LATENT], Key.OBSERVATION: state[Key.OBSERVATION]}
        leave = torch.zeros(len(slate))
        return Response(taken, slate * taken.float(), leave, changed, outcomes)


def test_several_items_of_a_slate_are_taken():
    world = Baskets(2, slate_size=3, offer_size=None, repeats=True, history_length=4)
    state = world.reset()
    state[Key.ACTION] = torch.tensor([[5, 2, 9], [4, 0, 0]])
    after = world.step(state)["next"]
    assert after[Key.TAKEN].tolist() == [[True, False, True], [False] * 3]
    assert after[Key.VALUE].tolist() == [[5, 0, 9], [0, 0, 0]]
    assert after["reward"].tolist() == after[Key.TRUE_REWARD].tolist() == [[14], [0]]
    assert after[Key.HISTORY].tolist() == [[0, 0, 5, 9], [0] * 4]
    following = after.exclude("reward").set(Key.ACTION, torch.tensor([[1, 3, 7], [0, 11, 2]]))
    last = world.step(following)["next"]
    assert last[Key.HISTORY].tolist() == [[9, 1, 3, 7], [0, 0, 0, 11]]
    assert last[Key.ACCEPTED].tolist() == [[3], [1]]
    assert last[Key.ACCEPTED_TOTAL].tolist() == [[5], [1]]


def test_a_reward_is_paid_for_the_transition_or_for_its_mean_over_all_outcomes():
    class ByUser(Reward):
        """A number for each item taken, and a hundred for each user's number."""

        def forward(self, transition):
            assert {Key.LATENT, Key.TRUE_REWARD}.isdisjoint(transition["next"].keys())
            likely = transition.get(Key.WEIGHT, None)
            assert likely is None or likely.tolist() == [0.75, 0.25] * 2
            items = (transition[Key.ACTION] * self.taken(transition)).sum(1, keepdim=True)
            return items + 100.0 * transition[Key.USER].unsqueeze(1)

    settings = {"slate_size": 2, "offer_size": None, "repeats": True, "reward": ByUser()}
    for expected, wanted in ((False, [[5], [104]]), (True, [[0.75 * 5 + 0.25 * 2], [103]])):
        world = Baskets(2, expected=expected, **settings)
        state = world.reset()
        state[Key.ACTION] = torch.tensor([[5, 2], [1, 3]])
        after = world.step(state)["next"]
        assert after["reward"].tolist() == wanted
        assert after[Key.TRUE_REWARD].tolist() == [[5], [4]]


@pytest.mark.parametrize("candidates", [[0, 1, 2], [3, 2], [2, 2], [12, 13]])
def test_candidates_that_are_no_items_in_order_are_refused(candidates):
    with pytest.raises(RecipeError, match=r"^candidates are .*; give distinct items, 1 to 12,"):
        TinyWorld(2, offer_size=None, candidates=torch.tensor(candidates))


def test_only_worlds_that_say_what_is_liked_have_a_greedy_contender():
    world = TinyWorld(2)
    assert "greedy" not in world_policies(world)
    with pytest.raises(RecipeError, match="TinyWorld does not say what is liked now"):
        world.greedy(world.reset())


class Doors(TinyWorld):
    """Item 2 is open at first; an item that is shown opens its neighbours and itself alone."""

    changes_mask = True

    def __init__(self, batch_size, **settings):
        super().__init__(batch_size, offer_size=None, candidates=torch.arange(1, 5), **settings)

    def begin(self, session):
        two = (torch.arange(13) == 2).expand(len(session), -1)
        return {**super().begin(session), Key.MASK: two}

    def oracle(self, state):
        return torch.arange(13.0).expand(len(state), -1)  # the lowest leads nowhere

    def respond(self, state, slate):
        near = (torch.arange(13) - slate).abs() <= 1
        response = super().respond(state, slate)
        return replace(response, changed={**response.changed, Key.MASK: near})


@pytest.mark.parametrize(
    ("repeats", "open_"), [(True, [{1, 2, 3}, {2, 3, 4}, {3, 4}]), (False, [{1, 3}, {4}, set()])]
)
def test_what_a_world_opens_and_shuts_is_shown_or_not_at_the_next_step(repeats, open_):
    world = Doors(2, repeats=repeats)
    state = world.reset()
    for item, expected in zip((2, 3, 4), open_, strict=True):
        after = world.step(state.set(Key.ACTION, torch.full((2, 1), item)))["next"]
        assert {*after[Key.MASK][1].nonzero().flatten().tolist()} == expected
        state = after.exclude("reward")
    assert after["truncated"].all() == (not repeats)
    with pytest.raises(ValueError, match="may not be shown"):
        world.step(world.reset().set(Key.ACTION, torch.tensor([[2], [5]])))


@pytest.mark.parametrize("key", [Key.HISTORY, Key.MASK, "colour"])
def test_what_would_be_lost_of_a_response_is_refused(key):
    class Changing(TinyWorld):
        def respond(self, state, slate):
            response = super().respond(state, slate)
            return replace(response, changed={**response.changed, key: state[Key.HISTORY]})

    world = Changing(2)
    with pytest.raises(PluginError, match=rf"Changing of .* changes {key}, and such values would"):
        world.step(world.rand_action(world.reset()))


@pytest.mark.parametrize("key", [Key.STEP, Key.MASK])
def test_a_key_that_the_base_class_writes_cannot_be_announced(key):
    class Announcing(TinyWorld):
        def own_specs(self):
            return {**super().own_specs(), key: self._flags(1)}

    with pytest.raises(PluginError, match=f"`own_specs` of Announcing .* announces {key}, which"):
        Announcing(2)
