"""The contract of simulators: batched TorchRL environments in which users see slates.

A simulator says which items may be shown now, reads a slate, and answers with what was taken, what
that was worth, and whether the session ended. Which users there are and how they choose is a
subclass's affair; what a policy is paid for their answers is a reward's.
"""

from abc import abstractmethod
from collections.abc import Mapping

import polars as pl
import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor
from torchrl.data import Composite, TensorSpec

from lightrec.blame import blaming, provider
from lightrec.data.catalog import Catalog
from lightrec.errors import PluginError, RecipeError
from lightrec.keys import PADDING, Column, Key
from lightrec.nn.plackett_luce import PlackettLuce
from lightrec.simulators import noise
from lightrec.simulators.session_env import Ending, Outcomes, Pay, Response, SessionEnv, State

__all__ = ["Ending", "Outcomes", "Pay", "Response", "Simulator", "State"]

WRITTEN = (Key.MASK, Key.CANDIDATES, Key.SEEN, Key.ABSORBING)
"""Keys that the base class writes where settings ask for them, beside those of every state."""


class Simulator(SessionEnv):
    """B sessions side by side.

    State (see :class:`~lightrec.keys.Key`): history, step, accepted so far, user, session, and what
    may be shown: ``mask``, or ``candidates`` where a simulator makes offers. Action: ``(B, K)``
    int64 items in the order shown; 0 is an empty place. A session ends by leaving
    (``terminated``), or is cut at ``max_steps`` or when nothing is left to show (``truncated``).

    :param num_items: number of items N.
    :param batch_size: sessions B.
    :param history_length: steps L that the state remembers.
    :param slate_size: places K.
    :param max_steps: steps after which a session is cut.
    :param ending: ``leave``: users leave when they want; ``fixed``: all stay for ``max_steps``;
        ``absorbing`` (Kostrikov et al. 2019): who leaves stays in an absorbing state, in which the
        key ``absorbing`` (B, 1) bool is True, all else is as it was, and rewards are 0, until the
        session is cut.
    :param candidates: ``(C,)`` int64 ascending items that may be shown at all; None means all.
    :param repeats: whether what was shown may be shown again in a later step. Where it may not, a
        mask loses what was shown; an offer does too, and stays as long as it was, filled up with 0.
        With offers, and where ``changes_mask`` is True, the state then has the key ``seen`` (B,
        ``max_steps`` · K) int64, what was shown, then 0.
    :param offer_size: how many candidates a step offers, see :meth:`offer`; None for a mask.
    :param reward: what policies are paid; None pays as :meth:`pay` says.
    :param expected: whether a step pays the mean over all outcomes, which is less noise to learn
        from than the outcome that was drawn, where answers come with their law.
    :param device: where everything is computed.
    :raises RecipeError: where a size is out of range.
    """

    endings = ("leave", "fixed", "absorbing")
    declined_enter = False
    """Whether a step in which nothing was taken enters histories, as N + 1."""
    changes_mask = False
    """Whether :meth:`respond` gives, among what it changes, a mask that opens or shuts items. It
    then loses what ``candidates`` leave out and, unless items repeat, what the session has shown.
    Offers are changed in :meth:`lightrec.simulators.base.Simulator.offer`."""
    day: int = 0
    """On which sessions are played, from 0; logs are dated by it."""

    def __init__(
        self,
        num_items: int,
        batch_size: int,
        *,
        history_length: int = 20,
        slate_size: int = 1,
        max_steps: int = 40,
        ending: Ending = "leave",
        candidates: Tensor | None = None,
        repeats: bool = False,
        offer_size: int | None = None,
        reward: Pay | None = None,
        expected: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(batch_size, max_steps=max_steps, ending=ending, device=device)
        showable = torch.arange(1, num_items + 1) if candidates is None else candidates
        if (showable.diff() < 1).any() or (showable < 1).any() or (showable > num_items).any():
            raise RecipeError(
                f"candidates are {showable.tolist()!r:.80}; give distinct items, 1 to {num_items}, "
                "in ascending order."
            )
        self._showable = showable.to(self.device)
        nothing = torch.zeros(num_items + 1, dtype=torch.bool, device=self.device)
        self.offered = nothing.index_fill(0, self._showable, True)
        shown_from = num_items if offer_size is None else offer_size
        if not 1 <= slate_size <= shown_from or (offer_size or 0) > len(self._showable):
            raise RecipeError(
                f"slate_size is {slate_size}; it must lie between 1 and the {shown_from} items "
                f"that a step may show, of the {len(self._showable)} that may be shown at all."
            )
        self.num_items = num_items
        self.history_length = history_length
        self.slate_size = slate_size
        self.repeats = repeats
        self.offer_size = offer_size
        self.reward, self.expected = reward, expected
        self._make_specs()

    @abstractmethod
    def start(self, rows: Tensor, session: Tensor) -> TensorDict:
        """Begin sessions in some rows; see :meth:`first_state`.

        :returns: for R sessions: ``user`` (R,) int64, and what does not begin with 0: ``history``
            (R, L) int64, keys of its own, and ``mask`` (R, N + 1) bool where not all may be shown.
        """

    @abstractmethod
    def respond(self, state: TensorDictBase, slate: Tensor) -> Response:
        """Let the users answer a slate ``(B, K)`` int64, which they are shown in a state."""

    def offer(self, state: TensorDictBase) -> Tensor:
        """Choose what may be shown, where ``offer_size`` is given; by default it is drawn evenly.

        :param state: of R sessions, all keys but ``candidates``.
        :returns: (R, C) int64 distinct items; a shorter offer is filled up with 0 on the right.
        """
        chance = noise.mix(self.chance(state), -3)
        return self._showable[noise.distinct(chance, self.offer_size or 1, len(self._showable))]

    def catalog(self) -> Catalog:
        """The items in the order of their numbers; by default they are named after these."""
        names = [str(number) for number in range(1, self.num_items + 1)]
        return Catalog(pl.DataFrame({Column.ITEM: names}))

    def own_specs(self) -> dict[str, TensorSpec]:
        """Announce further keys of the state, which :meth:`start` and :meth:`respond` give.

        Called by the constructor: what it reads must be set before ``super().__init__``.
        """
        return {}

    def remember(self, history: Tensor, taken: Tensor) -> Tensor:
        """Move histories (B, L) on: what was taken enters in the order shown.

        :param taken: ``(B, K)`` int64 items, 0 where none was taken.
        """
        taken = self.entering(taken)
        enters = taken > PADDING
        several = taken.shape[1] > 1
        if several and not torch.compiler.is_compiling():
            # A look that pays: baskets move more memory, and most batches hold none.
            several = bool((enters.sum(1) > 1).any())
        if not several:
            item = taken.sum(1, keepdim=True)
            return torch.where(item > PADDING, torch.cat([history[:, 1:], item], 1), history)
        rank = enters.cumsum(1)
        places = torch.where(enters, rank - 1, taken.shape[1])
        first = history.new_zeros(len(taken), taken.shape[1] + 1).scatter_(1, places, taken)
        columns = torch.arange(history.shape[1], device=history.device)
        return torch.cat([history, first], 1).gather(1, columns + rank[:, -1:])

    def entering(self, taken: Tensor) -> Tensor:
        """What enters histories of items taken (B, K), 0 for none: N + 1 first for a declined one.

        Only where :attr:`declined_enter` says so; elsewhere what was taken.
        """
        if not self.declined_enter:
            return taken
        declined = (taken == PADDING).all(1, keepdim=True) * (self.num_items + 1)
        return torch.cat([taken[:, :1] + declined, taken[:, 1:]], 1)

    def rand_action(self, tensordict: TensorDictBase | None = None) -> TensorDictBase:
        """Draw slates evenly from what may be shown."""
        if tensordict is None:
            return super().rand_action()
        if self.offer_size is None:
            mask = tensordict[Key.MASK]
            flat = torch.zeros(mask.shape, device=mask.device)
            slate = PlackettLuce(flat, mask, self.slate_size).sample().clamp_min(0)
        else:
            slate = _drawn_slate(tensordict[Key.CANDIDATES], self.slate_size)
        return tensordict.set(Key.ACTION, slate)

    def _make_specs(self) -> None:
        """Write the specs, which follow from the settings.

        :raises PluginError: where a simulator announces a key that is written here.
        """
        specs: dict[str, TensorSpec] = {
            Key.USER: self._numbers(dtype=torch.int64),
            Key.HISTORY: self._indices(self.history_length, self.num_items + 1),
            Key.TAKEN: self._flags(self.slate_size),
            Key.VALUE: self._numbers(self.slate_size),
            Key.STEP: self._indices(1, self.max_steps),
            Key.ACCEPTED: self._numbers(1),
            Key.ACCEPTED_TOTAL: self._numbers(1),
            Key.SESSION: self._numbers(1, dtype=torch.int64),
        }
        if self.offer_size is None:
            specs[Key.MASK] = self._flags(self.num_items + 1)
        else:
            specs[Key.CANDIDATES] = self._indices(self.offer_size, self.num_items)
        own, changes_mask = self.own_specs(), self.changes_mask and self.offer_size is None
        self._changing = (*own, *([Key.MASK] if changes_mask else ()))
        if not self.repeats and (self.offer_size is not None or changes_mask):
            specs[Key.SEEN] = self._indices(self.max_steps * self.slate_size, self.num_items)
        if self.ending == "absorbing":
            specs[Key.ABSORBING] = self._flags(1)
        if taken := [name for name in own if name in (*specs, *WRITTEN)]:
            raise PluginError(
                f"`own_specs` of {provider(self)} announces {', '.join(taken)}, which the "
                "base class writes itself: leave that out. Histories change in `remember`, offers "
                "in `offer`, and masks in `respond` where `changes_mask` is True."
            )
        specs |= own
        self._keys = [*specs]
        self.observation_spec = Composite(specs, shape=self.batch_size)
        self.action_spec = self._indices(self.slate_size, self.num_items)

    def first_state(self, rows: Tensor, session: Tensor) -> TensorDict:
        """Begin as :meth:`start` says, with 0 in every key that it leaves out."""
        state = self.start(rows, session).set(Key.SESSION, session)
        if self.offer_size is None:
            mask = state.get(Key.MASK, self.offered.repeat(len(rows), 1))
            state[Key.MASK] = mask & self.offered
        for name, spec in self.observation_spec.items():
            if name not in state:
                shape = (len(rows), *spec.shape[1:])
                state[name] = torch.zeros(shape, dtype=spec.dtype, device=self.device)
        return state if self.offer_size is None else state.set(Key.CANDIDATES, self.offer(state))

    def _step(self, tensordict: TensorDictBase) -> TensorDict:
        slate = tensordict[Key.ACTION]
        if not torch.compiler.is_compiling():  # a look at the numbers would break the graph
            self._check_slate(tensordict, slate)
        response = self.respond(tensordict, slate)
        changed = response.changed
        if dropped := [name for name in changed if name not in self._changing]:
            raise PluginError(
                f"`respond` of {provider(self)} changes {', '.join(dropped)}, and such "
                "values would be lost: it may change what `own_specs` announces "
                f"({', '.join(self._changing) or 'nothing'}) and, without offers, a mask where "
                "`changes_mask` is True. Announce the keys; what the base class writes cannot be "
                "changed so."
            )
        if Key.TRUE_REWARD in self._keys:  # that of what was taken, unless a world says another
            changed = {Key.TRUE_REWARD: response.value.sum(1, keepdim=True), **changed}
        step = tensordict[Key.STEP] + 1
        accepted = response.taken.sum(1, keepdim=True, dtype=torch.float32)
        if self.ending == "fixed":
            terminated = torch.zeros_like(step, dtype=torch.bool)
        elif response.leave.dtype == torch.bool:
            terminated = response.leave.unsqueeze(1)
        else:
            key = noise.mix(self.chance(tensordict), -2)
            terminated = noise.uniform(key) < response.leave.unsqueeze(1)
        following = {
            **{name: changed.get(name, tensordict[name]) for name in self._keys},
            Key.HISTORY: self.remember(tensordict[Key.HISTORY], slate * response.taken),
            Key.TAKEN: response.taken,
            Key.VALUE: response.value,
            Key.STEP: step,
            Key.ACCEPTED: accepted,
            Key.ACCEPTED_TOTAL: tensordict[Key.ACCEPTED_TOTAL] + accepted,
            "reward": self._paid(tensordict, slate, response, changed),
        }
        state = TensorDict(following, batch_size=self.batch_size, device=self.device)
        over = (step >= self.max_steps) | ~self._choices(tensordict, slate, state)
        if self.ending == "absorbing":
            state, terminated, over = self._absorbed(tensordict, state, terminated, over)
        return state.update(
            {"terminated": terminated, "truncated": over & ~terminated, "done": over | terminated}
        )

    def _absorbed(
        self, before: TensorDictBase, state: TensorDict, terminated: Tensor, over: Tensor
    ) -> tuple[TensorDict, Tensor, Tensor]:
        """Leave sessions that had ended as they were; give the state, and which end and are cut."""
        gone = before[Key.ABSORBING]
        reward, step = state.pop("reward") * ~gone, state[Key.STEP]
        state = before.select(*state.keys()).where(gone.squeeze(1), state)
        absorbing = gone | terminated
        state.update({Key.STEP: step, Key.ABSORBING: absorbing, "reward": reward})
        over = (step >= self.max_steps) | (over & ~absorbing)
        return state, torch.zeros_like(terminated), over

    def _choices(self, before: TensorDictBase, slate: Tensor, state: TensorDict) -> Tensor:
        """Write into a state what may be shown in it; give whether that is anything, (B, 1)."""
        seen = slate  # where masks only lose items, those before are gone already
        if Key.SEEN in self._keys:
            places = torch.arange(self.slate_size, device=slate.device)
            places = before[Key.STEP] * self.slate_size + places
            state[Key.SEEN] = seen = before[Key.SEEN].scatter(1, places, slate)
        if self.offer_size is None:
            mask = state[Key.MASK]
            if self.changes_mask:
                mask = mask & self.offered
            if not self.repeats:
                mask = mask.scatter(1, seen, torch.zeros_like(seen, dtype=torch.bool))
            state[Key.MASK] = mask
            return mask.any(1, keepdim=True)
        offer = self.offer(state)
        if not self.repeats:
            shown = torch.zeros_like(self.offered).repeat(len(seen), 1).scatter_(1, seen, True)
            left = offer.masked_fill(shown.gather(1, offer), PADDING)
            order = (left == PADDING).to(torch.int8).sort(dim=1, stable=True).indices
            offer = left.gather(1, order)
        state[Key.CANDIDATES] = offer
        return offer[:, :1] > PADDING

    def pay(self, response: Response, changed: Mapping[str, State]) -> Tensor:
        """Pay without a reward, (B, 1): the true one if known, else all values."""
        true = changed.get(Key.TRUE_REWARD)
        return true if isinstance(true, Tensor) else response.value.sum(1, keepdim=True)

    def _paid(
        self, state: TensorDictBase, slate: Tensor, response: Response, changed: Mapping[str, State]
    ) -> Tensor:
        law = response.outcomes if self.expected else None
        if self.reward is None:
            if law is None:
                return self.pay(response, changed)
            return (law.probability * law.value.sum(2)).sum(1, keepdim=True)
        transition = state.select(Key.USER, Key.HISTORY, Key.STEP, Key.ACCEPTED_TOTAL)
        transition[Key.ACTION] = slate
        unread = Key.TRUE_REWARD, Key.MASK
        seen = {k: x for k, x in changed.items() if isinstance(x, Tensor) and k not in unread}
        transition["next"] = TensorDict(seen, transition.batch_size, device=self.device)
        taken, value = response.taken, response.value
        if law is not None:
            transition = transition.repeat_interleave(law.probability.shape[1])
            transition[Key.WEIGHT] = law.probability.flatten()
            taken, value = law.taken.flatten(0, 1), law.value.flatten(0, 1)
        transition["next"].update({Key.TAKEN: taken, Key.VALUE: value})
        count = len(transition)
        with blaming(self.reward, f"reward {count} transitions"):
            worth = self.reward(transition)
        if worth.shape != (count, 1):
            raise PluginError(
                f"{provider(self.reward)} gave rewards of shape {tuple(worth.shape)} for "
                f"{count} transitions; expected is ({count}, 1), a number for each."
            )
        if law is None:
            return worth.float()
        each = worth.float().view_as(law.probability)
        # What cannot be taken, such as an empty place, may be worth anything, even without bound.
        return (law.probability * each).where(law.probability > 0, 0).sum(1, keepdim=True)

    def _check_slate(self, state: TensorDictBase, slate: Tensor) -> None:
        """Refuse slates that a policy may not show.

        :raises ValueError: where a slate holds an item twice or one that may not be shown.
        """
        shown = slate > 0
        if self.offer_size is None:
            fine = (state[Key.MASK].gather(1, slate) | ~shown).all()
        else:
            # Candidates are distinct: an item that may be shown is found exactly once.
            candidates = state[Key.CANDIDATES]
            places = slate.masked_fill(~shown, -1).split(1, 1)
            other = sum(torch.count_nonzero(candidates ^ item) for item in places)
            fine = other == slate.numel() * candidates.shape[1] - shown.sum()
        for place in range(1, self.slate_size):
            again = (slate[:, :place] == slate[:, place, None]) & shown[:, place, None]
            fine = fine & ~again.any()
        if not fine:
            raise ValueError(
                "A slate holds an item twice, or one that may not be shown. Policies must draw "
                "distinct items from the state's mask or candidates, and 0 for an empty place."
            )


def _drawn_slate(candidates: Tensor, number: int) -> Tensor:
    """Draw distinct candidates (B, number) evenly, from torch's global generator."""
    rows, count = candidates.shape
    # Offers are padded on the right, so that the last column tells whether one is shorter.
    if number > 8 or not bool(candidates[:, -1].all()):
        keys = torch.rand(rows, count, device=candidates.device).masked_fill(candidates == 0, -1)
        return candidates.gather(1, keys.topk(number).indices)
    # As many draws as places, whatever the offer's length: the beginning of a Fisher-Yates shuffle.
    left = candidates.clone()
    for place in range(number):
        drawn = place + torch.randint(count - place, (rows, 1), device=candidates.device)
        first, item = left[:, place : place + 1].clone(), left.gather(1, drawn)
        left.scatter_(1, drawn, first)[:, place : place + 1] = item
    return left[:, :number]
