"""A generator's policy keeps to what may be shown, also where sessions open and shut items."""

import torch
from lightrec_generate.policy import GeneratorPolicy

from lightrec.keys import Key
from lightrec.simulators.rollout import judge
from lightrec.simulators.user_model import UserModelSimulator
from tests.simulators.tastes import fixed_tastes, starts_of


def test_nothing_shut_is_generated_and_what_opens_comes(tiny_generator):
    policy = GeneratorPolicy(tiny_generator())
    count, users = policy.num_items, torch.arange(24)

    def allowed(rows, ends, played):  # the first three, and what follows something shown
        mask = torch.zeros(len(rows), count + 2, dtype=torch.bool)
        mask = mask.scatter(1, played[Key.SHOWN] + 1, True)[:, : count + 1]
        mask[:, 1:4], mask[:, 0] = True, False
        return mask

    starts = starts_of([[]] * len(users), allowed=allowed, by_history=True)
    simulator = UserModelSimulator(
        fixed_tastes([0.5] * count), starts, len(users), slate_size=3, max_steps=12, ending="fixed"
    )
    shown = torch.zeros(len(users), count + 2, dtype=torch.bool)
    opened = 0

    def note(state, following, alive):
        nonlocal shown, opened
        slate, may = state[Key.ACTION], shown.roll(1, 1)
        may[:, 1:4] = True
        assert (may.gather(1, slate) | (slate == 0)).all()
        opened += int((slate > 3).sum())
        shown = shown.scatter(1, slate, True)
        shown[:, 0] = False

    judge({"generator": policy}, simulator, users, [0], record=note)
    assert opened > 24
