"""The three modes: who leaves, what is shown twice, and that the simulator stays as it is."""

import pytest
import torch
from lightrec_testing.simulators import TinyWorld

from lightrec.errors import RecipeError
from lightrec.keys import Key
from lightrec.simulators.session_env import SessionEnv
from lightrec.simulators.user_model import UserModelSimulator
from tests.simulators.tastes import fixed_tastes, starts_of

in_mode = SessionEnv.in_mode


def user_model():
    settings = {"leave_rate": 0.3, "max_steps": 9, "repeats": True}
    return UserModelSimulator(fixed_tastes([0.5] * 6), starts_of([[]] * 40), 40, **settings)


MAKERS = {
    "mask": user_model,
    "offer": lambda: TinyWorld(40, repeats=True, max_steps=9),
    "offer of several": lambda: TinyWorld(40, repeats=True, slate_size=2, max_steps=9),
}


def course(simulator, seed=3):
    """Slates (steps, B, K) of random play, 0 where a session is over, and lengths (B,)."""
    simulator.fix(torch.arange(simulator.batch_size[0]), seed)
    state, slates = simulator.reset(), []
    alive = torch.ones(simulator.batch_size[0], dtype=torch.bool)
    torch.manual_seed(seed)
    for _ in range(simulator.max_steps):
        state = simulator.rand_action(state)
        slates.append(state[Key.ACTION] * alive.unsqueeze(1))
        state = simulator.step(state)["next"].exclude("reward")
        assert torch.equal(state["done"], state["terminated"] | state["truncated"])
        assert not (state["terminated"] & state["truncated"]).any()
        alive = alive & ~state["done"].squeeze(1)
    assert not alive.any()
    shown = torch.stack(slates)
    return shown, (shown > 0).any(2).sum(0)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
def test_nothing_is_shown_twice_and_what_is_left_is_used_up(make):
    free = make()
    shown, lengths = course(in_mode(in_mode(free, "fixed"), "no-repeats"))
    for session in shown.permute(1, 0, 2):
        items = session[session > 0]
        assert len(items.unique()) == len(items)
    again, others = course(in_mode(free, "fixed"))
    assert (others == 9).all()  # nobody leaves before the last step
    assert course(free)[1].min() < 9  # the one given has kept its rules
    assert any(len(s[s > 0].unique()) < (s > 0).sum() for s in again.permute(1, 0, 2))
    if free.offer_size is None:
        assert (lengths == 6).all()  # six items, and then nothing is left to show


class Dial(SessionEnv):
    """Its actions are no slates; nobody plays in it."""

    def first_state(self, rows, session):
        raise NotImplementedError

    def _step(self, tensordict):
        raise NotImplementedError


def test_what_is_impossible_is_told():
    with pytest.raises(RecipeError, match="no mode 'norepeats' of judging; give one of free"):
        in_mode(user_model(), "norepeats")
    assert in_mode(Dial(2, max_steps=3), "fixed").ending == "fixed"
    with pytest.raises(RecipeError, match="shows no items by their number"):
        in_mode(Dial(2, max_steps=3), "no-repeats")
