"""The simulator that runs a user model over the users of a log, and where its sessions begin."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor
from torch.nn.functional import pad
from torchrl.data import Composite, TensorSpec

from lightrec.data.domain import LogMask, Showable
from lightrec.data.share import random_rows
from lightrec.data.store import EventStore, padded, pieces
from lightrec.errors import DataError, RecipeError
from lightrec.keys import PADDING, Key
from lightrec.simulators import noise
from lightrec.simulators.base import Outcomes, Response, Simulator, State
from lightrec.simulators.rollout import UserMemory
from lightrec.users.user_model import UserModel


class LogStarts:
    """Start states from the events of a log.

    :param offsets: ``(U + 1,)`` int64: user u's events lie from ``offsets[u]`` to before
        ``offsets[u + 1]``.
    :param items: ``(E,)`` item indices, each user's oldest first.
    :param known: ``(E,)`` items that an event makes seen, 0 where none; None means its own.
    :param ends: ``(U,)`` int64: where each user's usable events end; None means at their last.
    :param users: ``(M,)`` int64 users to draw from; None means all.
    :param cut: whether a drawn session starts anywhere in its user's events, or at their end.
    :param allowed: gives what may be shown to users, by their rows; None where everything may be.
    :param by_history: whether it goes by what they did: then it is given their ends, too, and what
        a session has added, and is asked at each step; see :class:`~lightrec.data.domain.LogMask`.
    :raises DataError: where there is no user to draw from.
    """

    def __init__(
        self,
        offsets: Tensor,
        items: Tensor,
        *,
        known: Tensor | None = None,
        ends: Tensor | None = None,
        users: Tensor | None = None,
        cut: bool = False,
        allowed: Showable | None = None,
        by_history: bool = False,
    ) -> None:
        self.allowed, self.by_history = allowed, by_history
        self.offsets = offsets.long()
        self.items, self.known = items, items if known is None else known
        self.ends = self.offsets[1:] if ends is None else ends.long()
        self.users = torch.arange(len(self.ends)) if users is None else users.long()
        self.num_users, self.cut = len(self.users), cut
        if not self.num_users:
            raise DataError("There is no user whose history a simulated session could start from.")

    @classmethod
    def from_store(cls, store: EventStore, **settings: Any) -> "LogStarts":
        """Take the start states from a prepared log's training events, and what may be shown.

        :param settings: ``users`` and ``cut``.
        :raises PluginError: where the log's domain forbids items and is not installed.
        """
        store = store.without_cold
        allowed = LogMask(store, recorded=True)
        return cls(
            torch.from_numpy(np.array(store.offsets)),
            torch.from_numpy(np.array(store.items)),
            known=torch.from_numpy(np.array(store.seen)),
            ends=torch.from_numpy(store.train_ends()),
            allowed=allowed,
            by_history=allowed.by_history,
            **settings,
        )

    def draw(self, count: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Draw users (count,) evenly, and the ends (count,) of their histories.

        A cut leaves at least one event where the user has any.
        """

        def uniform() -> Tensor:
            return random_rows(lambda number: torch.rand(number, generator=generator), count)

        users = uniform()
        users = self.users[(users * self.num_users).long().clamp_max(self.num_users - 1)]
        ends = self.ends[users]
        if self.cut:
            length = ends - self.offsets[users]
            ends = ends - (uniform() * length).long().clamp_max((length - 1).clamp_min(0))
        return users, ends

    def history(self, users: Tensor, ends: Tensor, length: int) -> Tensor:
        """The last events before ``ends``: ``(B, length)`` int64, padded on the left."""
        first = self.offsets[users].numpy()
        return torch.from_numpy(padded(self.items.numpy(), first, ends.numpy(), length))

    def seen(self, users: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
        """Items seen before ``ends`` as pairs: rows (S,) of the batch and items (S,)."""
        rows, places = map(torch.from_numpy, pieces(self.offsets[users].numpy(), ends.numpy()))
        return rows, self.known[places].long()

    def showable(
        self,
        users: Tensor,
        ends: Tensor,
        num_items: int,
        *,
        repeats: bool = False,
        device: torch.device | str = "cpu",
        played: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """Items that may be shown to users after the events before ``ends``: ``(B, N + 1)`` bool.

        :param repeats: whether they may be among those that were seen.
        :param played: what a session has added, see :meth:`~lightrec.data.domain.LogMask.__call__`.
        """
        mask = torch.ones(len(users), num_items + 1, dtype=torch.bool, device=device)
        mask[:, PADDING] = False
        if not repeats:
            rows, items = self.seen(users, ends)
            in_catalog = items <= num_items
            mask[rows[in_catalog].to(device), items[in_catalog].to(device)] = False
        if self.allowed is None:
            return mask
        allowed = self.allowed(users, ends, played) if self.by_history else self.allowed(users)
        return mask if allowed is None else mask & allowed.to(device)


class UserModelSimulator(Simulator):
    """Users who choose from a slate, or nothing, with probability ∝ exp(utility).

    What was accepted enters the history; a declined slate enters as N + 1 where the user model
    knows such steps. Unless items repeat, what was shown is not shown again, nor what the user's
    log holds before the session; what the log's domain forbids a user is never shown. A domain that
    goes by what people did is asked again after every step, on the CPU; a compiled step breaks its
    graph there. After every step a user leaves as the user model says.

    :param user_model: who chooses and leaves; where it has several members, how uncertain they are
        stands in the state as ``uncertainty``. Used without gradients.
    :param starts: where sessions begin.
    :param batch_size: sessions B.
    :param leave_rate: probability of leaving after a step; None for the user model's own, fitted or
        assumed.
    :param history_length: steps L that the state remembers for policies, never fewer than the user
        model reads.
    :param max_candidates: show only this many items, those most frequent by ``popularity``.
    :param popularity: ``(N + 1,)`` counts, needed with ``max_candidates``.
    :param settings: of :class:`~lightrec.simulators.base.Simulator`; without a ``reward`` an
        accepted item counts 1.
    :raises RecipeError: where a setting is out of range.
    """

    def __init__(
        self,
        user_model: UserModel,
        starts: LogStarts,
        batch_size: int,
        *,
        leave_rate: float | None = None,
        history_length: int = 100,
        max_candidates: int | None = None,
        popularity: Tensor | None = None,
        **settings: Any,
    ) -> None:
        if leave_rate is not None and not 0 <= leave_rate <= 1:
            raise RecipeError(f"leave_rate is {leave_rate}; a probability lies between 0 and 1.")
        candidates = None
        if max_candidates is not None and max_candidates < user_model.num_items:
            if popularity is None or max_candidates < 1:
                raise RecipeError(
                    f"max_candidates={max_candidates} needs at least 1 and the items' popularity."
                )
            candidates = popularity[1:].topk(max_candidates).indices.sort().values + 1
        self.is_ensemble = len(user_model.members) > 1
        self.starts, self.changes_mask = starts, starts.by_history
        super().__init__(
            user_model.num_items,
            batch_size,
            history_length=max(history_length, user_model.history_length),
            candidates=candidates,
            **settings,
        )
        self.user_model = user_model.to(self.device).eval()
        # Asked once: the answer is in a tensor, which a compiled step cannot branch on.
        self.declined_enter = user_model.records_nothing
        self.leave_rate = leave_rate
        self._forget()

    def own_specs(self) -> dict[str, TensorSpec]:
        """Announce the uncertainty of an ensemble, and what :meth:`may_show` asks by."""
        specs: dict[str, TensorSpec] = {}
        if self.is_ensemble:
            specs[Key.UNCERTAINTY] = self._numbers(1)
        of_offers = self.starts.allowed is not None and self.offer_size is not None
        if self.starts.by_history or of_offers:
            places = self.max_steps * self.slate_size
            past = {name: self._numbers(dtype=torch.int64) for name in (Key.USER, Key.END)}
            past |= {n: self._indices(places, self.num_items + 1) for n in (Key.HISTORY, Key.SHOWN)}
            specs[Key.PAST] = Composite(past, shape=self.batch_size, device=self.device)
        return specs

    def start(self, rows: Tensor, session: Tensor) -> TensorDict:
        """Begin sessions: drawn users, or the given ones, whose logs are over."""
        count = len(rows)
        if count == self.batch_size[0]:
            self._forget()
        if self.given is None:
            users, ends = self.starts.draw(count, self.generator)
        else:
            users = self.given[0][rows]
            ends = self.starts.ends[users]
        history = self.starts.history(users, ends, self.history_length)
        state: dict[str, State] = {Key.USER: users, Key.HISTORY: history}
        nothing = torch.zeros(count, self.max_steps * self.slate_size, dtype=torch.int64)
        past = {Key.USER: users, Key.END: ends, Key.HISTORY: nothing, Key.SHOWN: nothing}
        if Key.PAST in self._keys:
            state[Key.PAST] = past
        if self.offer_size is None:
            state[Key.MASK] = self.may_show(past)
        return TensorDict(state, batch_size=[count], device=self.device)

    @torch.compiler.disable  # a domain computes with numpy
    def may_show(self, past: Mapping[str, Tensor] | TensorDictBase) -> Tensor:
        """Items that may be shown to users: ``(R, N + 1)`` bool, those of ``candidates`` or not.

        :param past: for R sessions, each user's number among the starts and the end of their
            history, (R,), and what the session has added to it and has shown, (R, places).
        """
        users, ends = past[Key.USER].cpu(), past[Key.END].cpu()
        mask = self.starts.showable(
            users,
            ends,
            self.num_items,
            repeats=self.repeats,
            device=self.device,
            played={name: past[name] for name in (Key.HISTORY, Key.SHOWN)},
        )
        shown = past[Key.SHOWN].to(self.device)
        return mask if self.repeats else mask.scatter_(1, shown, False)

    def offer(self, state: TensorDictBase) -> Tensor:
        """Draw an offer evenly from what may be shown to each user; see the base class."""
        if Key.PAST not in self._keys:
            return super().offer(state)
        mask = self.may_show(state[Key.PAST]) & self.offered
        items = torch.arange(self.num_items + 1, device=self.device)
        chance = noise.uniform(noise.mix(noise.mix(self.chance(state), -3), items))
        drawn = chance.masked_fill(~mask, -1).topk(self.offer_size or 1)
        return drawn.indices.masked_fill(drawn.values < 0, PADDING)

    @torch.no_grad()
    def respond(self, state: TensorDictBase, slate: Tensor) -> Response:
        """Choose by utilities plus Gumbel noise, which is the law ∝ exp(utility)."""
        states = self._states(state[Key.HISTORY][:, -self.user_model.history_length :])
        utilities, uncertainty = self.user_model.law(states, slate, state[Key.USER])
        changed: dict[str, State] = {}
        if self.is_ensemble:
            changed[Key.UNCERTAINTY] = uncertainty.unsqueeze(1)
        offered = pad(slate, (0, 1), value=self.num_items + 1)  # (B, K + 1), nothing last
        key = noise.mix(self.chance(state), offered)
        keys = (utilities + noise.gumbel(key)).masked_fill(offered == PADDING, -torch.inf)
        taken = keys.argmax(1, keepdim=True) == torch.arange(slate.shape[1], device=self.device)
        if Key.PAST in self._keys:
            places = torch.arange(self.slate_size, device=self.device)
            places = state[Key.STEP] * self.slate_size + places
            added = {Key.HISTORY: self.entering(slate * taken), Key.SHOWN: slate}
            past = state[Key.PAST]
            grown = {name: past[name].scatter(1, places, items) for name, items in added.items()}
            grown |= {Key.USER: past[Key.USER], Key.END: past[Key.END]}
            changed[Key.PAST] = grown
            if self.offer_size is None:
                changed[Key.MASK] = self.may_show(grown)
        law = None
        if self.expected:  # each place in turn, and nothing last; O = K + 1
            each = torch.eye(self.slate_size + 1, dtype=torch.bool, device=self.device)[:, :-1]
            each = each.expand(len(slate), -1, -1)
            law = Outcomes(each, each.float(), utilities.softmax(1))
        return Response(taken, taken.float(), self._leave(state, slate, taken), changed, law)

    def _forget(self) -> None:
        """Begin to remember what the members make of histories: most steps leave most as it is."""
        self._memories = [UserMemory(member.state) for member in self.user_model.members]

    def _states(self, history: Tensor) -> list[Tensor]:
        """Each member's states (B, S) of histories."""
        if torch.compiler.is_compiling():  # a look at what has changed would break the graph
            return [member.state(history) for member in self.user_model.members]
        return [memory(history) for memory in self._memories]

    def _leave(self, state: TensorDictBase, slate: Tensor, taken: Tensor) -> Tensor:
        """Probability (B,) of leaving after a step in which this was taken, or nothing."""
        if self.leave_rate is not None:
            return torch.full((len(slate),), self.leave_rate, device=self.device)
        history = self.remember(state[Key.HISTORY], slate * taken)
        accepted = taken.any(1, keepdim=True).float()
        return self.user_model.leave(
            history[:, -self.user_model.history_length :],
            state[Key.STEP] + 1,
            state[Key.ACCEPTED_TOTAL] + accepted,
            accepted,
            state[Key.USER],
        )
