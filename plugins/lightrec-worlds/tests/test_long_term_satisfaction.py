"""The laws of long-term satisfaction by hand, and its twin's values by brute force."""

import pytest
import torch
from lightrec_worlds.recsim import ACTIONS, LongTermSatisfaction, best_values, interpolation, ranks

from lightrec.keys import Key

ROWS = 20_000


def play(world, choose):
    """Mean true return of a policy that picks one candidate, and all true rewards by step."""
    state, rewards = world.reset(), []
    for _ in range(world.max_steps):
        items = state[Key.CANDIDATES]
        best = choose(state, items).argmax(1, keepdim=True)
        after = world.step(state.set(Key.ACTION, items.gather(1, best)))["next"]
        rewards.append(after[Key.TRUE_REWARD].mean())
        state = after.exclude("reward")
    assert state["terminated"].all()
    return float(sum(rewards))


def expected(world, twin, law, ranked):
    """The mean return of 60 steps in the tabular twin, exposure being even at first.

    The law is of the ranks of a best policy's actions, or else of a blind policy's actions.
    """
    reward, following = twin
    if ranked:
        values = best_values(reward, following, law, 60)[-1]
    else:
        values = torch.zeros_like(reward[:, 0])
        for _ in range(60):
            values = (reward + following @ values) @ law
    edge = 0.5 / (1 - world.memory)
    cells = torch.linspace(-edge, edge, 20_001, dtype=torch.float64)
    first = interpolation((cells[1:] + cells[:-1]) / 2, world._grid).mean(0)
    return float(values @ first)


def test_one_step_by_hand():
    world = LongTermSatisfaction(ROWS, sensitivity=0.4)
    state = world.rand_action(world.reset())
    before = state[Key.LATENT, "exposure"].double()
    edge = 0.5 / 0.3
    assert before.abs().max() <= edge
    assert abs(before.var() - edge**2 / 3) < 0.02
    score = world.score[state[Key.ACTION].squeeze(1)].double()
    after = world.step(state)["next"]
    level = (5 * score + 4 * (1 - score)) / (1 + torch.exp(-0.4 * before))
    expected = (level + 0.5).exp()
    torch.testing.assert_close(after[Key.TRUE_REWARD].squeeze(1), expected.float())
    noise = after["reward"].squeeze(1).double().log() - level
    assert abs(noise.mean()) < 4 / ROWS**0.5
    assert abs(noise.std() - 1) < 4 / (2 * ROWS) ** 0.5
    assert torch.equal(after[Key.OBSERVATION], after["reward"].clamp_max(100))
    moved = after[Key.LATENT, "exposure"].double() - (0.7 * before - 2 * (score - 0.5))
    assert abs(moved.mean()) < 4 * 0.05 / ROWS**0.5
    assert abs(moved.std() - 0.05) < 4 * 0.05 / (2 * ROWS) ** 0.5
    assert abs(torch.corrcoef(torch.stack([moved, noise]))[0, 1]) < 4 / ROWS**0.5
    assert torch.equal(after[Key.TAKEN], state[Key.ACTION] > 0)


@pytest.mark.parametrize("sensitivity", [0.01, 0.4])
def test_policies_return_what_the_twin_says(sensitivity):
    torch.manual_seed(2)
    world = LongTermSatisfaction(1000, sensitivity=sensitivity)
    twin, highest = world.twin(), ranks(ACTIONS, 10)
    even = torch.full((ACTIONS,), 1 / ACTIONS, dtype=torch.float64)
    cases = [
        (lambda state, items: world.score[items], highest, False),
        (lambda state, items: -world.score[items], highest.flip(0), False),
        (lambda state, items: torch.rand(items.shape), even, False),
        (lambda state, items: world.oracle(state), highest, True),
    ]
    wanted = [expected(world, twin, law, ranked) for _, law, ranked in cases]
    returns = [play(world, choose) for choose, *_ in cases]
    assert returns == pytest.approx(wanted, rel=0.01)
    assert max(wanted) == wanted[3]
