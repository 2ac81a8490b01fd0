"""Each check of a simulator fails for a simulator that is wrong in just that."""

from dataclasses import replace

import polars as pl
import pytest
import torch
from torchrl.data import Bounded

from lightrec.data.catalog import Catalog
from lightrec.keys import Column, Key
from lightrec.simulators.user_model import UserModelSimulator
from lightrec.testing import SimulatorChecks, tiny
from lightrec.testing.simulators import TinyWorld

ITEMS = 40


class Right(UserModelSimulator):
    """Users of a tiny log, who leave with probability 0.3 after a slate of two."""

    def __init__(self, batch_size, **settings):
        settings = {"slate_size": 2, "leave_rate": 0.3, "max_steps": 6} | settings
        starts = tiny.tiny_starts(ITEMS)
        super().__init__(
            tiny.tiny_user_model(ITEMS), starts, batch_size, history_length=5, **settings
        )


class WrongBound(Right):
    def _make_specs(self):
        super()._make_specs()
        size = (*self.batch_size, 1)
        self.observation_spec[Key.STEP] = Bounded(0, 1, size, dtype=torch.int64)


class AlwaysSix(Right):
    def __init__(self, batch_size):
        super().__init__(6)


class BeginsWithSuccess(Right):
    def _reset(self, tensordict=None, **kwargs):
        state = super()._reset(tensordict, **kwargs)
        state[Key.ACCEPTED_TOTAL] += 1
        return state


class SeedIgnored(Right):
    def _set_seed(self, seed):
        pass


class SeedFixed(Right):
    def _set_seed(self, seed):
        super()._set_seed(0)


class Stepping(Right):
    """One whose steps are changed by :meth:`change` afterwards."""

    def _step(self, tensordict):
        after = super()._step(tensordict)
        self.change(tensordict, after)
        return after


class PaddingMayBeShown(Stepping):
    def change(self, before, after):
        after[Key.MASK][:, 0] = True


class ShowsAgain(Stepping):
    def change(self, before, after):
        after[Key.MASK] = before[Key.MASK]


class NeverShowsAgain(Right):
    def __init__(self, batch_size):
        super().__init__(batch_size, repeats=True)

    def _step(self, tensordict):
        self.repeats = False
        after = super()._step(tensordict)
        self.repeats = True
        return after


class TakesMaskedItems(Right):
    def _look_at(self, state, slate):
        mask = state[Key.MASK].scatter(1, slate, True)
        super()._look_at(state.exclude(Key.MASK).set(Key.MASK, mask), slate)


class TakesItemsTwice(Right):
    def _look_at(self, state, slate):
        twice = slate[:, 1:] == slate[:, :1]
        super()._look_at(state, torch.cat([slate[:, :1], slate[:, 1:] * ~twice], 1))


class TakesNothingThere(TinyWorld):
    def __init__(self, batch_size):
        super().__init__(batch_size, slate_size=2)

    def offer(self, state):
        return super().offer(state) * torch.tensor([1, 0, 0, 0])

    def respond(self, state, slate):
        response = super().respond(state, slate)
        return replace(response, taken=torch.ones_like(response.taken))


class CountsNothing(Stepping):
    def change(self, before, after):
        after[Key.ACCEPTED_TOTAL] = before[Key.ACCEPTED_TOTAL]


class CountsByTwo(Stepping):
    def change(self, before, after):
        after[Key.STEP] = before[Key.STEP] + 2


class ForgetsOnDecline(Right):
    def remember(self, history, taken):
        return torch.cat([history[:, 1:], taken.sum(1, keepdim=True)], 1)


class InfiniteReward(Right):
    def respond(self, state, slate):
        response = super().respond(state, slate)
        return replace(response, value=response.value.log())


class CutAndGone(Stepping):
    def change(self, before, after):
        after["truncated"] = after["truncated"] | after["terminated"]


class NeverCut(Stepping):
    def change(self, before, after):
        after["truncated"] = torch.zeros_like(after["truncated"])
        after["done"] = after["terminated"]


class LeavesAnyway(Stepping):
    def change(self, before, after):
        if self.ending == "fixed":
            after["terminated"] = after[Key.USER].unsqueeze(1) % 2 == 0
            after["truncated"] = after["truncated"] & ~after["terminated"]
            after["done"] = after["truncated"] | after["terminated"]


class EndsEarly(Stepping):
    def change(self, before, after):
        if self.ending == "fixed":
            after["truncated"] = after["done"] = after[Key.STEP] >= 4


class CountsByItself(Right):
    def _reset(self, tensordict=None, **kwargs):
        self.shown = 0
        return super()._reset(tensordict, **kwargs)

    def _step(self, tensordict):
        after = super()._step(tensordict)
        self.shown += 1
        after[Key.STEP] = torch.full_like(after[Key.STEP], self.shown)
        return after


class WritesIntoTheState(Stepping):
    def change(self, before, after):
        after[Key.SESSION] = after[Key.SESSION].clone()
        before[Key.SESSION] += 1


class DrawsForTheBatch(Right):
    def respond(self, state, slate):
        chance = torch.Generator().manual_seed(int(state[Key.STEP][0]))
        value = torch.rand(slate.shape, generator=chance)
        return replace(super().respond(state, slate), value=value)


class AsksANumber(Right):
    def respond(self, state, slate):
        response = super().respond(state, slate)
        return response if response.value.sum() >= 0 else replace(response, taken=slate > 0)


class OffersTwice(TinyWorld):
    def offer(self, state):
        return super().offer(state)[:, [0, 1, 2, 2]]

    def _look_at(self, state, slate):
        pass  # else every second slate would be refused, and every check with it


class TruthIsMissing(TinyWorld):
    def respond(self, state, slate):
        response = super().respond(state, slate)
        true = torch.full_like(response.value[:, :1], torch.inf)
        return replace(response, changed={**response.changed, Key.TRUE_REWARD: true})


class ScoresTooMany(TinyWorld):
    def oracle(self, state):
        return torch.zeros(len(state), self.ITEMS + 1)


class DescribesTooFew(TinyWorld):
    def catalog(self):
        return Catalog(pl.DataFrame({Column.ITEM: ["item-1"]}))


@pytest.mark.parametrize("settings", [{}, {"slate_size": 1}, {"repeats": True}])
def test_a_right_one_passes(settings, failing):
    assert failing(SimulatorChecks(lambda rows: Right(rows, **settings))) == set()


@pytest.mark.parametrize("settings", [{}, {"slate_size": 2}])
def test_a_right_world_passes(settings, failing):
    assert failing(SimulatorChecks(lambda rows: TinyWorld(rows, **settings))) == set()


@pytest.mark.parametrize(
    ("wrong", "names"),
    [
        (WrongBound, {"specs"}),
        (AlwaysSix, {"specs", "rows apart"}),
        (BeginsWithSuccess, {"bookkeeping"}),
        (SeedIgnored, {"seed"}),
        (SeedFixed, {"seed"}),
        (PaddingMayBeShown, {"showable"}),
        (ShowsAgain, {"showable"}),
        (NeverShowsAgain, {"showable"}),
        (TakesMaskedItems, {"refusals"}),
        (TakesItemsTwice, {"refusals"}),
        (TakesNothingThere, {"bookkeeping"}),
        (CountsNothing, {"bookkeeping"}),
        (CountsByTwo, {"bookkeeping", "endings", "partial reset"}),
        (ForgetsOnDecline, {"bookkeeping"}),
        (InfiniteReward, {"specs"}),
        (CutAndGone, {"endings"}),
        (NeverCut, {"endings"}),
        (LeavesAnyway, {"endings"}),
        (EndsEarly, {"endings"}),
        (CountsByItself, {"partial reset", "compiles"}),
        (WritesIntoTheState, {"state unchanged"}),
        (DrawsForTheBatch, {"rows apart", "compiles"}),
        (AsksANumber, {"compiles"}),
        (OffersTwice, {"showable", "refusals"}),
        (TruthIsMissing, {"specs"}),
        (ScoresTooMany, {"truth"}),
        (DescribesTooFew, {"truth"}),
    ],
)
def test_a_wrong_one_fails(wrong, names, failing):
    # To compile a step takes longer than all other checks; right simulators are all compiled.
    assert failing(SimulatorChecks(wrong), *{"compiles"} - names) == names
