"""The base of lightrec's environments: sessions, computed chance, and the form of answers.

Judging has three modes: a long session alone makes a large return, and so may showing one item over
and over.
What an action is belongs to subclasses: slates of items in :mod:`lightrec.simulators.base`.
"""

import copy
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self, TypeAlias

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Size, Tensor
from torchrl.data import Binary, Bounded, Composite, Unbounded
from torchrl.envs import EnvBase

from lightrec.data.share import Share, of_all, random_rows, rows_among
from lightrec.errors import RecipeError
from lightrec.keys import Key
from lightrec.nn.precision import full_precision
from lightrec.simulators import noise

Ending = Literal["leave", "fixed", "absorbing"]
Mode = Literal["free", "no-repeats", "fixed"]
"""``free``: the simulator's own rules, users leave and items repeat as it says. ``no-repeats``: the
same, but what was shown in a session is not shown in it again. ``fixed``: nobody leaves before
``max_steps``, so that all returns are of equal length."""
RULES: dict[Mode, dict[str, Any]] = {
    "free": {},
    "no-repeats": {"repeats": False},
    "fixed": {"ending": "fixed"},
}
ENDS = ("done", "terminated", "truncated")
HIDDEN = (Key.LATENT, Key.TRUE_REWARD)
"""Keys that only worlds know, and no reward or policy reads."""

State: TypeAlias = Tensor | TensorDictBase | Mapping[str, Tensor]
"""A key's value; a mapping becomes a nested TensorDict."""

Pay: TypeAlias = Callable[[TensorDictBase], Tensor]
"""From transitions (see :class:`~lightrec.rewards.base.Reward`) to what policies are paid, (B, 1)
float32."""


@dataclass(frozen=True)
class Outcomes:
    """All O ways in which the users of a batch may answer their slates."""

    taken: Tensor
    """(B, O, K) bool."""
    value: Tensor
    """(B, O, K) float32."""
    probability: Tensor
    """(B, O) float32."""


@dataclass(frozen=True)
class Response:
    """How the users of a batch answered their slates."""

    taken: Tensor
    """(B, K) bool: which items of the slate were taken: none, one, or several, which is a basket.
    An empty place is never taken."""
    value: Tensor
    """(B, K) float32: what each item taken was worth, in the unit of a log's values, such as
    minutes or stars; 1 where nothing tells takings apart, 0 where nothing was taken."""
    leave: Tensor
    """(B,) float32: probability of leaving now; or bool, where chance has no part in it."""
    changed: Mapping[str, State] = field(default_factory=dict)
    """New values of keys that the simulator itself announced, and of the mask where it
    ``changes_mask``; others are refused. What is left out stays as it is."""
    outcomes: Outcomes | None = None
    """The law from which the answers were drawn, where it is known; simulators that are
    ``expected`` to pay the mean over it need it."""


class SessionEnv(EnvBase):
    """B sessions side by side.

    A session ends by leaving (``terminated``), or is cut (``truncated``), never both. All chance
    follows from the number in the key ``session``, which a reset draws from torch's global
    generator of the CPU, or from its own after ``set_seed``: the same on every device.

    :param batch_size: sessions B.
    :param max_steps: steps after which a session is cut.
    :param ending: one of ``endings``.
    :param device: where everything is computed.
    :raises RecipeError: where a session is impossible.
    """

    endings: tuple[Ending, ...] = ("leave", "fixed")
    """``leave``: users leave when they want; ``fixed``: all stay for ``max_steps``."""

    def __new__(cls, *arguments: Any, **settings: Any) -> Self:
        """Make one, by the constructor's arguments."""
        # TorchRL's own differs from class to class, so that jsonargparse would take its arguments
        # for the constructor's.
        made: Self = super().__new__(cls, *arguments, **settings)
        return made

    def __init__(
        self,
        batch_size: int,
        *,
        max_steps: int,
        ending: Ending = "leave",
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(device=device, batch_size=Size([batch_size]))
        if max_steps < 1 or ending not in self.endings:
            raise RecipeError(
                f"A session of max_steps={max_steps} and ending={ending!r} is impossible: give at "
                f"least one step, and end by one of {', '.join(self.endings)}."
            )
        self.max_steps = max_steps
        self.ending = ending
        self.generator: torch.Generator | None = None
        self.given: tuple[torch.Tensor, int] | None = None
        """Users (B,) and the seed of all chance, as :meth:`fix` was given them."""
        self.share = Share(0, 1)
        """Which of the sessions of several processes these are, B to each of them."""
        self.reward_spec = self._numbers(1)
        self.full_done_spec = Composite(dict.fromkeys(ENDS, self._flags(1)), shape=self.batch_size)

    @abstractmethod
    def first_state(self, rows: Tensor, session: Tensor) -> TensorDict:
        """The states in which sessions begin, of which nothing is over.

        :param rows: (R,) int64 rows of the batch, all of them or some.
        :param session: (R, 1) int64, from which all chance should follow.
        :returns: for R sessions, all keys but ``session`` and those that tell of ends.
        """

    def in_mode(self, mode: Mode) -> Self:
        """A simulator that plays in a mode: the same users and chance by other rules.

        Where its own rules are already those of the mode it is given back itself, so that
        ``simulator.in_mode(mode) is simulator`` tells that the mode adds nothing there.

        :raises RecipeError: where there is no such mode, or repeats are forbidden to a simulator
            that shows no items.
        """
        if mode not in RULES:
            modes = ", ".join(RULES)
            raise RecipeError(f"There is no mode {mode!r} of judging; give one of {modes}.")
        if mode == "no-repeats" and not hasattr(self, "repeats"):
            raise RecipeError(
                f"{type(self).__name__} shows no items by their number, so nothing can be kept "
                "from being repeated. Judge it in the modes free and fixed."
            )
        if all(getattr(self, name) == value for name, value in RULES[mode].items()):
            return self
        played = copy.copy(self)  # shallow: parameters and items are shared
        # TorchRL keeps specs and what follows from them in these; the copy has others.
        specs = {name: getattr(played, name).clone() for name in ("_output_spec", "_input_spec")}
        played.__dict__ |= {**specs, "_cache": {}, **RULES[mode]}
        played._make_specs()
        return played

    def _make_specs(self) -> None:
        """Write the specs that follow from settings; here none do."""

    def step(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Go on a step, as TorchRL does it; its laws are the same in mixed precision."""
        with full_precision(self.device):
            following: TensorDictBase = super().step(tensordict)
        return following

    def fix(self, users: Tensor, seed: int) -> None:
        """Let every reset begin with these users (B,), under chance that follows from ``seed``.

        The same seed gives the same noise to the same item in a user's step, whatever else is
        shown: policies are compared under common random numbers.

        :raises ValueError: where there are not as many users as rows.
        """
        if len(users) != self.batch_size[0]:
            raise ValueError(
                f"{len(users)} users were given to {self.batch_size[0]} sessions; give one a row."
            )
        self.given = users.cpu(), seed

    def chance(self, state: TensorDictBase) -> Tensor:
        """The key (R, 1) int64 of all chance in what follows a state, for ``noise``."""
        return noise.mix(state[Key.SESSION], state[Key.STEP] + 1)

    def _reset(self, tensordict: TensorDictBase | None = None, **kwargs: object) -> TensorDict:
        over = None if tensordict is None else tensordict.get("_reset", None)
        if over is None or over.all():
            return self._fresh(torch.arange(self.batch_size[0]))
        # TorchRL takes the rows it asked for out of a whole batch; the others are not computed.
        rows = over.reshape(-1).nonzero().squeeze(1)
        fresh, size = self._begin(rows.cpu()), self.batch_size[0]
        return fresh.apply(
            lambda part: part.new_zeros(size, *part.shape[1:]).index_copy_(0, rows, part),
            batch_size=[size],
        )

    def maybe_reset(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Begin again where sessions are over, as TorchRL does, without whole batches between."""
        rows = tensordict["done"].reshape(-1).nonzero().squeeze(1)
        fresh = self._fresh(rows.cpu())
        if fresh is None:
            return tensordict
        return tensordict.apply(
            lambda old, new: old if new is None else old.index_copy(0, rows, new),
            fresh,
            default=None,
        )

    def _fresh(self, rows: Tensor) -> TensorDict | None:
        """Begin in rows (R,), with the numbers that they would have in one process.

        :returns: None where there are no rows.
        """
        if self.share.world == 1:
            return self._begin(rows) if len(rows) else None
        over = torch.zeros(self.batch_size[0], dtype=torch.uint8).index_fill(0, rows, 1)
        every = of_all(over.to(self.device)).view(self.share.world, -1).T.cpu()
        if not every.any():
            return None
        some = rows if len(rows) else torch.zeros(1, dtype=torch.int64)  # draws as the others do
        places = every.flatten().cumsum(0).view_as(every)[some, self.share.rank] - 1
        with rows_among(int(every.sum()), places.clamp_min(0)):
            fresh = self._begin(some)
        return fresh if len(rows) else None

    def _begin(self, rows: Tensor) -> TensorDict:
        if self.given is None:
            session = random_rows(
                lambda n: torch.randint(-(2**62), 2**62, (n, 1), generator=self.generator),
                len(rows),
            )
        else:
            users, seed = self.given
            session = noise.mix(torch.tensor(seed), users[rows]).unsqueeze(1)
        session = session.to(self.device)
        state = self.first_state(rows, session)
        state.update({name: torch.zeros_like(session, dtype=torch.bool) for name in ENDS})
        return state.set(Key.SESSION, session)

    def _set_seed(self, seed: int | None) -> None:
        self.generator = None if seed is None else torch.Generator().manual_seed(seed)

    def _flags(self, length: int) -> Binary:
        """The spec of bools, so many in each session."""
        return Binary(shape=(*self.batch_size, length), dtype=torch.bool, device=self.device)

    def _numbers(self, *shape: int, dtype: torch.dtype = torch.float32) -> Unbounded:
        """The spec of numbers without bounds, of this shape in each session."""
        return Unbounded((*self.batch_size, *shape), dtype=dtype, device=self.device)

    def _indices(self, length: int, highest: int) -> Bounded:
        """The spec of int64 numbers from 0, so many in each session."""
        shape = (*self.batch_size, length)
        return Bounded(0, highest, shape, dtype=torch.int64, device=self.device)
