"""Simulators around simulators: other rules, the same users and the same chance.

Modes of judging are made here as well. Why three: a long session alone makes a large return, and so
may showing one item over and over.
"""

import copy
from typing import Literal, TypeVar, get_args

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor
from torchrl.data import Binary, Bounded, Composite, TensorSpec

from lightrec.errors import RecipeError
from lightrec.keys import PADDING, Key
from lightrec.simulators.base import Simulator
from lightrec.simulators.session_env import Ending, SessionEnv

PASSED_ON = (
    *("num_items", "slate_size", "history_length", "offer_size", "repeats"),
    *("observation_size", "item_vectors"),
)
"""What others ask of a simulator of items, and is the same around it."""


class Wrapped(SessionEnv):
    """A simulator around another one, which it has as ``base``.

    :param base: the simulator within.
    :param ending: how sessions end here; the same as within where it is None.
    :param specs: of the keys that the state has beside those within.
    """

    base: SessionEnv

    def __init__(
        self, base: SessionEnv, specs: dict[str, TensorSpec], ending: Ending | None = None
    ) -> None:
        super().__init__(
            base.batch_size[0],
            max_steps=base.max_steps,
            ending=ending or base.ending,
            device=base.device,
        )
        self.base = base
        for name in PASSED_ON:
            if hasattr(base, name):
                setattr(self, name, getattr(base, name))
        # Clones: what is nested in the simulator's own specs is locked for good.
        own = dict(base.observation_spec.clone().items())
        self.observation_spec = Composite({**own, **specs}, shape=self.batch_size)
        self.action_spec = base.action_spec.clone()
        self.reward_spec = self._number()
        self.full_done_spec = self._done_spec()

    def fix(self, users: Tensor, seed: int) -> None:
        """Let every reset begin with these users, under chance that follows from ``seed``."""
        super().fix(users, seed)
        self.base.fix(users, seed)

    def _set_seed(self, seed: int | None) -> None:
        super()._set_seed(seed)
        self.base.generator = self.generator

    def rand_action(self, tensordict: TensorDictBase | None = None) -> TensorDictBase:
        """Draw actions as the simulator within does."""
        return self.base.rand_action(tensordict)

    def first_state(self, rows: Tensor, session: Tensor) -> TensorDict:
        """Begin as the simulator within does; subclasses add their keys."""
        return self.base.first_state(rows, session)


class Absorbing(Wrapped):
    """A simulator whose sessions all have ``max_steps`` steps (Kostrikov et al. 2019).

    Where the simulator ends a session, the next state is absorbing: the key ``absorbing`` (B, 1)
    bool is True, all else stays as it was, and every reward is 0 until the session is cut. What the
    simulator itself cuts is cut.

    :param base: the simulator.
    """

    def __init__(self, base: SessionEnv) -> None:
        mark = Binary(shape=(*base.batch_size, 1), dtype=torch.bool, device=base.device)
        super().__init__(base, {Key.ABSORBING: mark}, ending="fixed")

    def first_state(self, rows: Tensor, session: Tensor) -> TensorDict:
        """Begin as the simulator does, nothing absorbing."""
        state = super().first_state(rows, session)
        return state.set(Key.ABSORBING, torch.zeros_like(session, dtype=torch.bool))

    def _step(self, tensordict: TensorDictBase) -> TensorDict:
        before = tensordict[Key.ABSORBING]
        following = self.base._step(tensordict)
        ended, cut = following["terminated"], following["truncated"]
        reward = following["reward"] * ~before
        state = following.exclude("reward", "done", "terminated", "truncated")
        rows = before.squeeze(1)

        def stay(new: Tensor, old: Tensor) -> Tensor:
            return torch.where(rows.view(-1, *[1] * (new.dim() - 1)), old, new)

        state = state.apply(stay, tensordict.select(*state.keys()))
        step, absorbing = tensordict[Key.STEP] + 1, before | ended
        over = (step >= self.max_steps) | (cut & ~absorbing)
        state.update(
            {
                Key.STEP: step,
                Key.ABSORBING: absorbing,
                "reward": reward,
                "terminated": torch.zeros_like(over),
                "truncated": over,
                "done": over,
            }
        )
        return state


class NoRepeats(Wrapped):
    """A simulator that takes what was shown in a session out of its mask or its offers.

    Users, laws and chance are the simulator's. A session is cut where nothing is left to show. The
    state has one key more where offers are made: ``seen`` (B, max_steps · K) int64, what was shown,
    0 for steps to come. An offer that shrinks stays as long as it was, filled up with 0.

    :param base: the simulator.
    """

    base: Simulator

    def __init__(self, base: Simulator) -> None:
        specs: dict[str, TensorSpec] = {}
        if base.offer_size is not None:
            shape = (*base.batch_size, base.max_steps * base.slate_size)
            specs[Key.SEEN] = Bounded(
                0, base.num_items, shape, dtype=torch.int64, device=base.device
            )
        super().__init__(base, specs)
        self.repeats = False

    def first_state(self, rows: Tensor, session: Tensor) -> TensorDict:
        """Begin as the simulator does, nothing shown yet."""
        state = super().first_state(rows, session)
        if self.offer_size is not None:
            places = self.max_steps * self.slate_size
            state[Key.SEEN] = session.new_zeros(len(session), places)
        return state

    def _step(self, tensordict: TensorDictBase) -> TensorDict:
        following = self.base._step(tensordict)
        slate = tensordict[Key.ACTION]
        if self.offer_size is None:
            none_shown = torch.zeros_like(slate, dtype=torch.bool)
            following[Key.MASK] = mask = following[Key.MASK].scatter(1, slate, none_shown)
            left = mask.any(1, keepdim=True)
        else:
            columns = torch.arange(self.slate_size, device=slate.device)
            places = tensordict[Key.STEP] * self.slate_size + columns
            following[Key.SEEN] = seen = tensordict[Key.SEEN].scatter(1, places, slate)
            following[Key.CANDIDATES] = offer = self._without(following[Key.CANDIDATES], seen)
            left = offer[:, :1] > PADDING
        over = following["truncated"] | (~left & ~following["terminated"])
        return following.update({"truncated": over, "done": over | following["terminated"]})

    def _without(self, candidates: Tensor, seen: Tensor) -> Tensor:
        """Take items out of offers (B, C) and fill these up on the right."""
        known = torch.zeros(
            len(seen), self.num_items + 1, dtype=torch.bool, device=seen.device
        ).scatter_(1, seen, True)
        left = candidates.masked_fill(known.gather(1, candidates), PADDING)
        order = (left == PADDING).to(torch.int8).sort(dim=1, stable=True).indices
        return left.gather(1, order)


Mode = Literal["free", "no-repeats", "fixed"]
"""``free``: the simulator's own rules, users leave and items repeat as it says. ``no-repeats``: the
same, but what was shown in a session is not shown in it again. ``fixed``: nobody leaves before
``max_steps``, so that all returns are of equal length."""
MODES: tuple[Mode, ...] = get_args(Mode)

_AnyEnv = TypeVar("_AnyEnv", bound=SessionEnv)


def in_mode(simulator: _AnyEnv, mode: Mode) -> _AnyEnv | NoRepeats:
    """Give a simulator that plays in a mode; the one given stays as it is.

    Where a simulator's own rules are already those of the mode it is given back itself, so that
    ``in_mode(simulator, mode) is simulator`` tells that the mode adds nothing there.

    :param simulator: any, of items by mask or by offer, or of continuous actions.
    :raises RecipeError: where there is no such mode, or repeats are forbidden to a simulator that
        shows no items.
    """
    if mode not in MODES:
        raise RecipeError(f"There is no mode {mode!r} of judging; give one of {', '.join(MODES)}.")
    if mode == "fixed" and simulator.ending != "fixed":
        # Shallow: parameters and items are shared. Simulators read their ending in every step.
        fixed = copy.copy(simulator)
        fixed.ending = "fixed"
        return fixed
    if mode != "no-repeats" or isinstance(simulator, NoRepeats):
        return simulator
    if not isinstance(simulator, Simulator):
        raise RecipeError(
            f"{type(simulator).__name__} shows no items by their number, so nothing can be kept "
            "from being repeated. Judge it in the modes free and fixed."
        )
    if simulator.offer_size is None and not simulator.repeats:
        return simulator
    return NoRepeats(simulator)
