import pytest
import torch
from lightrec_lab.choice_process import ChoiceProcess, transitions
from lightrec_worlds.world_data import demonstrate
from torchrl.envs.utils import check_env_specs

from lightrec.errors import RecipeError
from lightrec.keys import Key
from lightrec.policies.baselines import RandomPolicy

N = 12
STARTS = torch.tensor([[0, 0, 3], [1, 2, 13]])


def test_choices_enter_the_history_and_offers_are_fresh_and_even():
    world = ChoiceProcess(N, 400, STARTS, offer_size=5, max_steps=6)
    check_env_specs(world)
    world.set_seed(0)
    state = world.reset()
    began = (state[Key.HISTORY].unsqueeze(1) == STARTS).all(-1)
    assert began.any(1).all()
    assert 150 < began[:, 0].sum() < 250
    counts = torch.zeros(N + 1)
    for step in range(6):
        offer = state[Key.CANDIDATES]
        assert all(len(set(row)) == 6 for row in offer.tolist())
        assert (offer[:, 5] == N + 1).all()
        counts += torch.bincount(offer[:, :5].flatten(), minlength=N + 1)
        chosen = offer.gather(1, torch.randint(6, (400, 1)))
        after = world.step(state.set(Key.ACTION, chosen))["next"]
        assert torch.equal(after[Key.HISTORY][:, -1:], chosen)
        assert torch.equal(after[Key.HISTORY][:, :-1], state[Key.HISTORY][:, 1:])
        assert not (after[Key.CANDIDATES] == offer).all()
        assert bool(after["truncated"].all()) == (step == 5)
        state = after.exclude("reward")
    assert counts[0] == 0
    # 12,000 draws of 12 items: 1,000 each, standard deviation about 24.
    assert (counts[1:] - 1000).abs().max() < 120


def test_logged_sessions_are_the_transitions_of_the_process():
    world = ChoiceProcess(N, 3, STARTS, offer_size=5, max_steps=7)
    world.set_seed(1)
    played = demonstrate(world, RandomPolicy(N + 1), 7)
    chosen = played["next", Key.HISTORY][:, :, -1]
    logged = transitions(played[Key.HISTORY][:, 0], played[Key.CANDIDATES][..., :-1], chosen, N)
    assert logged.batch_size == (3, 6)
    for key in (Key.HISTORY, Key.CANDIDATES, Key.ACTION, Key.STEP, Key.ACCEPTED_TOTAL):
        assert torch.equal(logged[key], played[key][:, :6])
    for key in (Key.HISTORY, Key.CANDIDATES, Key.STEP):
        assert torch.equal(logged["next", key], played["next", key][:, :6])
    assert not logged["next", "terminated"].any()


def test_odd_arguments_are_refused():
    offers = torch.tensor([[[1, 2], [3, 4]]])
    with pytest.raises(RecipeError, match="1 of 2 choices"):
        transitions(STARTS[:1], offers, torch.tensor([[1, 5]]), N)
