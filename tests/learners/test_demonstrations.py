import torch

from benchmarks.measure.carts import CartPole
from lightrec.keys import Key
from lightrec.learners.transitions import demonstrate


class Right:
    """Pushes to the right, always."""

    def act(self, state, slate_size=1, deterministic=True):
        return state.set(Key.ACTION, torch.full((len(state), 1), 2))


def test_playing_gives_transitions_that_hang_together():
    world = CartPole(3, max_steps=5)
    played = demonstrate(world, Right(), 8)
    assert played.batch_size == (3, 8)
    after, before = played["next", Key.OBSERVATION][:, :-1], played[Key.OBSERVATION][:, 1:]
    same = (after == before).all(-1).all(0)
    assert same.tolist() == [True] * 4 + [False] + [True] * 2
    assert played["next", "done"][:, 4].all()
