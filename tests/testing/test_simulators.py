"""Each check of a simulator fails for a simulator that is wrong in just that."""

from dataclasses import replace

import pytest
import torch
from lightrec_testing import SimulatorChecks, tiny
from lightrec_testing.contract import outcomes
from lightrec_testing.simulators import TinyWorld
from torchrl.data import Bounded

from lightrec.keys import Key
from lightrec.simulators.user_model import UserModelSimulator
from tests.simulators.test_world import Doors

ITEMS, TOTAL = 40, Key.ACCEPTED_TOTAL


class Right(UserModelSimulator):
    """Users of a tiny log, who leave with probability 0.3 after a slate of two."""

    def __init__(self, batch_size, **settings):
        settings = {"slate_size": 2, "leave_rate": 0.3, "max_steps": 6} | settings
        starts = tiny.tiny_starts(ITEMS)
        super().__init__(
            tiny.tiny_user_model(ITEMS), starts, batch_size, history_length=5, **settings
        )


class Stepping(Right):
    """One whose steps are changed by :meth:`change` afterwards."""

    def _step(self, tensordict):
        after = super()._step(tensordict)
        self.change(tensordict, after)
        return after


def wrong_bound(self):
    Right._make_specs(self)
    size = (*self.batch_size, 1)
    self.observation_spec[Key.STEP] = Bounded(0, 1, size, dtype=torch.int64)


def takes_masked(self, state, slate):
    mask = state[Key.MASK].scatter(1, slate, True)
    Right._check_slate(self, state.exclude(Key.MASK).set(Key.MASK, mask), slate)


class CountsByItself(Right):
    def _reset(self, tensordict=None, **kwargs):
        self.shown = 0
        return super()._reset(tensordict, **kwargs)

    def _step(self, tensordict):
        after = super()._step(tensordict)
        self.shown += 1
        after[Key.STEP] = torch.full_like(after[Key.STEP], self.shown)
        return after


def writes_into_the_state(self, before, after):
    after[Key.SESSION] = after[Key.SESSION].clone()
    before[Key.SESSION] += 1


def answering(change):
    return {"respond": lambda s, state, slate: change(Right.respond(s, state, slate), state)}


def draws_for_the_batch(response, state):
    chance = torch.Generator().manual_seed(int(state[Key.STEP][0]))
    drawn = torch.rand(response.taken.shape, generator=chance)
    return replace(response, value=response.taken * drawn)


def asks_a_number(response, state):
    return response if response.value.sum() >= 0 else replace(response, leave=response.leave + 1)


def leaves_later(response, state):
    return replace(response, leave=response.leave + state[Key.STEP].squeeze(1))


def one_person(self, session):
    return TinyWorld.begin(self, 0 * session)


def shows_nothing(self, rows, session):
    mask = torch.zeros(len(rows), ITEMS + 1, dtype=torch.bool)
    return Right.start(self, rows, session).set(Key.MASK, mask)


def unlikely(response, state):
    law = response.outcomes
    return replace(response, outcomes=law and replace(law, probability=0.5 * law.probability))


def offers_twice(self, state):
    return TinyWorld.offer(self, state)[:, [0, 1, 2, 2]]


class Odd(TinyWorld):
    """Users take the first item where its number is odd."""

    def respond(self, state, slate):
        taken = (slate % 2 == 1) & (torch.arange(slate.shape[1]) == 0)
        response = super().respond(state, slate)
        changed = {**response.changed, Key.TRUE_REWARD: taken.sum(1, keepdim=True).float()}
        return replace(response, taken=taken, value=taken.float(), changed=changed)

    def oracle(self, state):
        return (state[Key.CANDIDATES] % 2).float()


def shifted(self):
    self.item_vectors = self.item_vectors + 1
    return Odd.catalog(self)


@pytest.mark.parametrize(
    ("right", "settings"),
    [
        *((Right, each) for each in ({}, {"slate_size": 1}, {"repeats": True})),
        *((TinyWorld, each) for each in ({}, {"slate_size": 2})),
        *((Doors, {"repeats": repeats}) for repeats in (True, False)),
    ],
)
def test_a_right_one_passes(right, settings, failing):
    assert failing(SimulatorChecks(lambda rows: right(rows, **settings))) == set()


@pytest.mark.parametrize(
    ("base", "changed", "names"),
    [
        (Right, {"_make_specs": wrong_bound}, {"specs"}),
        (Right, {"_set_seed": lambda s, seed: None}, {"seed"}),
        (TinyWorld, {"begin": one_person, "chance": lambda s, state: state[Key.STEP]}, {"seed"}),
        (Right, answering(leaves_later), {"answers"}),
        (TinyWorld, {"fix": lambda s, to, seed: TinyWorld.fix(s, 0 * to, seed)}, {"given users"}),
        (Stepping, {"change": lambda s, was, now: now.set(Key.MASK, was[Key.MASK])}, {"showable"}),
        (Right, {"_check_slate": takes_masked}, {"refusals"}),
        (Stepping, {"change": lambda s, was, now: now.update(was.select(TOTAL))}, {"bookkeeping"}),
        (Stepping, {"change": lambda s, was, now: now.set("truncated", now["done"])}, {"endings"}),
        (CountsByItself, {}, {"partial reset", "compiles"}),
        (Stepping, {"change": writes_into_the_state}, {"state unchanged"}),
        (Right, answering(draws_for_the_batch), {"rows apart", "compiles"}),
        (Right, answering(asks_a_number), {"compiles"}),
        (Right, answering(lambda r, state: replace(r, leave=r.leave + 1)), {"answers"}),
        (Right, answering(unlikely), {"answers"}),
        (
            TinyWorld,
            {"offer": offers_twice, "_check_slate": lambda s, state, slate: None},
            {"showable", "refusals"},
        ),
        (TinyWorld, {"oracle": lambda s, state: torch.zeros(len(state), 13)}, {"truth"}),
        (Odd, {}, set()),
        (Odd, {"oracle": lambda s, state: Odd.oracle(s, state) * float("nan")}, {"truth"}),
        (Odd, {"catalog": shifted}, {"truth"}),
        (Odd, {"oracle": lambda s, state: -(state[Key.CANDIDATES] % 2).float()}, {"truth"}),
    ],
)
def test_a_wrong_one_fails(base, changed, names, failing):
    # To compile a step takes longer than all other checks; right simulators are all compiled.
    wrong = type("Wrong", (base,), changed)
    assert failing(SimulatorChecks(wrong), *{"compiles"} - names) == names


def test_that_nothing_may_be_shown_is_said_in_one_sentence():
    checks = SimulatorChecks(type("Empty", (Right,), {"start": shows_nothing}))
    said = [message for _, status, message in outcomes(checks) if status == "failed"]
    assert said[0].startswith("A session begins with something to show.")
    assert said.count("The same as of 'deterministic'.") == len(said) - 2
