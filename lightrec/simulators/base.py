"""The contract of simulators: batched TorchRL environments in which users see slates.

A simulator emits item indices and a mask of what may be shown, reads a slate, and answers with what
was accepted, the reward, and whether the session ended. Which users there are and how they choose
is a subclass's affair.
"""

from abc import abstractmethod
from typing import Literal, NamedTuple

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Size, Tensor
from torchrl.data import Binary, Bounded, Composite, Unbounded
from torchrl.envs import EnvBase

from lightrec.errors import RecipeError
from lightrec.keys import Key
from lightrec.nn.plackett_luce import PlackettLuce
from lightrec.simulators import noise

Ending = Literal["leave", "fixed"]


class Response(NamedTuple):
    """How the users of a batch answered their slates."""

    clicked: Tensor
    """(B,) int64: the item accepted, or 0."""
    reward: Tensor
    """(B,) float32."""
    leave: Tensor
    """(B,) float32: probability of leaving now."""


class Simulator(EnvBase):
    """B sessions side by side.

    State (see :class:`~lightrec.keys.Key`): history, mask, step, accepted so far, user,
    session. Action: ``(B, K)`` int64 items in the order shown; 0 is an empty place. A session ends
    by leaving (``terminated``), or is cut at ``max_steps`` or when nothing is left to show
    (``truncated``). All chance follows from the number in the key ``session``, which a reset draws
    from torch's global generator, or from its own after ``set_seed``.

    :param num_items: number of items N.
    :param batch_size: sessions B.
    :param history_length: steps L that the state remembers.
    :param slate_size: places K.
    :param max_steps: steps after which a session is cut.
    :param ending: ``leave``: users leave when they want; ``fixed``: all stay for ``max_steps``.
    :param candidates: ``(C,)`` int64 ascending items that may be shown at all; None means all.
    :param repeats: whether what was shown may be shown again in a later step.
    :param device: where everything is computed.
    :raises RecipeError: where a size is out of range.
    """

    def __init__(
        self,
        num_items: int,
        batch_size: int,
        *,
        history_length: int,
        slate_size: int = 1,
        max_steps: int = 40,
        ending: Ending = "leave",
        candidates: Tensor | None = None,
        repeats: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(device=device, batch_size=Size([batch_size]))
        if not 1 <= slate_size <= num_items:
            raise RecipeError(
                f"slate_size is {slate_size}; it must lie between 1 and the {num_items} items."
            )
        if max_steps < 1 or ending not in ("leave", "fixed"):
            raise RecipeError(
                f"A session of max_steps={max_steps} and ending={ending!r} is impossible: give at "
                "least one step, and end by 'leave' or 'fixed'."
            )
        self.num_items = num_items
        self.history_length = history_length
        self.slate_size = slate_size
        self.max_steps = max_steps
        self.ending = ending
        self.repeats = repeats
        self.generator: torch.Generator | None = None
        offered = torch.ones(num_items + 1, dtype=torch.bool)
        if candidates is not None:
            offered = torch.zeros_like(offered).index_fill_(0, candidates.cpu(), True)
        offered[0] = False
        self.offered = offered.to(self.device)
        self._make_specs()

    @abstractmethod
    def start(self) -> TensorDict:
        """Begin a session in every row.

        :returns: ``user`` (B,) int64, ``history`` (B, L) int64, ``mask`` (B, N + 1) bool and
            ``session`` (B, 1) int64.
        """

    @abstractmethod
    def respond(self, state: TensorDictBase, slate: Tensor) -> Response:
        """Let the users answer.

        :param state: the state before the slate.
        :param slate: ``(B, K)`` int64.
        """

    def remember(self, history: Tensor, clicked: Tensor) -> Tensor:
        """Move histories on: what was accepted enters, nothing else.

        :param history: ``(B, L)`` int64.
        :param clicked: ``(B,)`` int64, 0 for nothing.
        """
        moved = torch.cat([history[:, 1:], clicked.unsqueeze(1)], 1)
        return torch.where(clicked.unsqueeze(1) > 0, moved, history)

    def rand_action(self, tensordict: TensorDictBase | None = None) -> TensorDictBase:
        """Draw slates evenly from what may be shown."""
        if tensordict is None:
            return super().rand_action()
        mask = tensordict[Key.MASK]
        columns = PlackettLuce(torch.zeros(mask.shape, device=mask.device), mask, self.slate_size)
        return tensordict.set(Key.ACTION, columns.sample().clamp_min(0))

    def _make_specs(self) -> None:
        size, top = self.batch_size[0], self.num_items + 1
        whole, flag = torch.int64, torch.bool
        self.observation_spec = Composite(
            {
                Key.USER: Unbounded((size,), dtype=whole, device=self.device),
                Key.HISTORY: self._indices(self.history_length, top),
                Key.MASK: Binary(shape=(size, top), dtype=flag, device=self.device),
                Key.CLICKED: self._indices(1, top - 1),
                Key.STEP: self._indices(1, self.max_steps),
                Key.ACCEPTED: self._number(),
                Key.ACCEPTED_TOTAL: self._number(),
                Key.SESSION: Unbounded((size, 1), dtype=whole, device=self.device),
            },
            shape=self.batch_size,
        )
        self.action_spec = self._indices(self.slate_size, top - 1)
        self.reward_spec = self._number()
        self.full_done_spec = Composite(
            {
                name: Binary(shape=(size, 1), dtype=flag, device=self.device)
                for name in ("done", "terminated", "truncated")
            },
            shape=self.batch_size,
        )

    def _indices(self, length: int, highest: int) -> Bounded:
        shape = (*self.batch_size, length)
        return Bounded(0, highest, shape, dtype=torch.int64, device=self.device)

    def _number(self) -> Unbounded:
        return Unbounded((*self.batch_size, 1), dtype=torch.float32, device=self.device)

    def _reset(self, tensordict: TensorDictBase | None = None, **kwargs: object) -> TensorDict:
        # On a partial reset TorchRL takes the rows it needs out of a whole fresh batch.
        state = self.start()
        column = (*self.batch_size, 1)
        state[Key.MASK] = state[Key.MASK] & self.offered
        state[Key.CLICKED] = torch.zeros(column, dtype=torch.int64, device=self.device)
        state[Key.STEP] = torch.zeros(column, dtype=torch.int64, device=self.device)
        for name in (Key.ACCEPTED, Key.ACCEPTED_TOTAL):
            state[name] = torch.zeros(column, device=self.device)
        for name in ("done", "terminated", "truncated"):
            state[name] = torch.zeros(column, dtype=torch.bool, device=self.device)
        return state

    def _step(self, tensordict: TensorDictBase) -> TensorDict:
        slate = tensordict[Key.ACTION]
        left = self._take_out(tensordict[Key.MASK], slate)
        mask = tensordict[Key.MASK] if self.repeats else left
        response = self.respond(tensordict, slate)
        step = tensordict[Key.STEP] + 1
        accepted = (response.clicked > 0).float().unsqueeze(1)
        if self.ending == "leave":
            key = noise.mix(noise.mix(tensordict[Key.SESSION], step), -2)
            terminated = noise.uniform(key) < response.leave.unsqueeze(1)
        else:
            terminated = torch.zeros_like(step, dtype=torch.bool)
        over = (step >= self.max_steps) | ~mask.any(1, keepdim=True)
        return TensorDict(
            {
                Key.USER: tensordict[Key.USER],
                Key.HISTORY: self.remember(tensordict[Key.HISTORY], response.clicked),
                Key.MASK: mask,
                Key.CLICKED: response.clicked.unsqueeze(1),
                Key.STEP: step,
                Key.ACCEPTED: accepted,
                Key.ACCEPTED_TOTAL: tensordict[Key.ACCEPTED_TOTAL] + accepted,
                Key.SESSION: tensordict[Key.SESSION],
                "reward": response.reward.unsqueeze(1),
                "terminated": terminated,
                "truncated": over & ~terminated,
                "done": over | terminated,
            },
            batch_size=self.batch_size,
            device=self.device,
        )

    def _take_out(self, mask: Tensor, slate: Tensor) -> Tensor:
        """Give the mask without what is shown.

        :raises ValueError: where a slate holds an item twice or one that may not be shown.
        """
        left = mask.clone().index_put_(
            (torch.arange(len(mask), device=mask.device)[:, None], slate),
            torch.tensor(False, device=mask.device),
        )
        if (mask.sum() - left.sum()) != (slate > 0).sum():
            raise ValueError(
                "A slate holds an item twice, or one that may not be shown. Policies must draw "
                "distinct items from the state's mask, and 0 for an empty place."
            )
        return left

    def _set_seed(self, seed: int | None) -> None:
        self.generator = None
        if seed is not None:
            self.generator = torch.Generator(self.device).manual_seed(seed)
