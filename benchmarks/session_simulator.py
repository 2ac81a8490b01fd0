"""The simulator that plays session models: users as a log shows them, over several sessions."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor
from torch.nn.functional import pad
from torchrl.data import Composite, TensorSpec

from benchmarks.session_model import SessionModel
from lightrec.errors import RecipeError
from lightrec.keys import PADDING, Key
from lightrec.simulators import noise
from lightrec.simulators.base import Response, Simulator, State

Pays = Literal["values", "returns"]
PAY = "pay"
FIRST = -20
"""Counters of this simulator's chance; those above belong to the base class and to offers."""


class SessionSimulator(Simulator):
    """Users who take, value, leave and return as session models fitted to a log say.

    Several models are an ensemble: in each step a user answers as one of them does, drawn evenly,
    which is their mean law. A row is a user until he is gone: to the end of his session where the
    models know no returns, and else to the end of a horizon, over all his sessions.

    What a step pays is expected by the models, not drawn: the worth of what is taken of the slate,
    or the probability that the session ends and the user returns within the horizon. Where the
    models disagree about it, they may all be wrong: the standard deviation between them stands in
    the state as ``uncertainty``, and ``penalty`` times it is taken off.

    Policies see as ``observation`` what :meth:`observe` makes of answers; traces and counts stand
    in ``latent``, where only the models see them.

    :param members: one or more models of the same items.
    :param starts: (S, G) float32 contexts in which users of the log began, drawn evenly.
    :param batch_size: users B.
    :param pays: ``values`` or ``returns``.
    :param penalty: what a unit of uncertainty takes off what is paid.
    :param horizon: periods after which a user is gone in any case, the first one included; only
        where the models know returns.
    :param settings: of :class:`~lightrec.simulators.base.Simulator`.
    :raises RecipeError: where the models do not know what is paid, or differ in what they read.
    """

    def __init__(
        self,
        members: Sequence[SessionModel],
        starts: Tensor,
        batch_size: int,
        *,
        pays: Pays = "values",
        penalty: float = 0.0,
        horizon: int = 1,
        **settings: Any,
    ) -> None:
        kinds = {(m.num_items, m.context_size, m.trace_size, m.periods) for m in members}
        if len(kinds) != 1 or starts.shape[1:] != (members[0].context_size,):
            raise RecipeError(
                f"The session models, by items, contexts, traces and periods, are {sorted(kinds)}, "
                f"and contexts of length {starts.shape[-1]} were given. Give one or more models "
                "that were fitted to the same log, and contexts from it."
            )
        missing = {"values": members[0].valuing, "returns": members[0].returning}[pays] is None
        if missing or (pays == "returns" and not 2 <= horizon <= members[0].periods + 1):
            raise RecipeError(
                f"What is paid is {pays!r} within a horizon of {horizon}, and the session models "
                f"have {'no' if members[0].valuing is None else 'a'} law of values, and one of "
                f"returns over {members[0].periods} periods. Pay what they know, within a horizon "
                "of at least 2 and at most one more than these."
            )
        self.observation_size, self.trace_size = starts.shape[1], members[0].trace_size
        self.is_ensemble = len(members) > 1
        super().__init__(members[0].num_items, batch_size, repeats=True, **settings)
        self.members = torch.nn.ModuleList(members).to(self.device).eval().requires_grad_(False)
        self.starts = starts.to(self.device)
        self.pays, self.penalty, self.horizon = pays, penalty, horizon
        self.item_vectors = members[0].vectors.to(self.device)

    def observe(self, state: TensorDictBase, answer: Mapping[str, Tensor]) -> Tensor:
        """Give the next observations (B, G), by default the ones that users began with.

        :param state: before the slate.
        :param answer: (B,) each: ``item`` that was taken, 0 for none, its ``value``, whether the
            session ``ended``, and the ``absence`` after it, in periods.
        """
        found: Tensor = state[Key.OBSERVATION]
        return found

    def own_specs(self) -> dict[str, TensorSpec]:
        """Announce what users have lived through, what policies see, and the uncertainty."""
        shapes = {"traces": (self.trace_size,), "day": (), "slates": (), "accepted": ()}
        latent = {name: self._numbers(*shape) for name, shape in shapes.items()}
        specs: dict[str, TensorSpec] = {
            Key.LATENT: Composite(latent, shape=self.batch_size, device=self.device)
        }
        if self.observation_size:
            specs[Key.OBSERVATION] = self._numbers(self.observation_size)
        if self.is_ensemble:
            specs[Key.UNCERTAINTY] = self._numbers(1)
        return specs

    def start(self, rows: Tensor, session: Tensor) -> TensorDict:
        """Begin with a user of the log, of whom nothing is known but his first context."""
        which = noise.below(noise.mix(session, FIRST), len(self.starts)).squeeze(1)
        zero = torch.zeros(len(rows), device=self.device)
        latent = {
            "traces": zero.new_zeros(len(rows), self.trace_size),
            **dict.fromkeys(("day", "slates", "accepted"), zero),
        }
        users = rows if self.given is None else self.given[0][rows]
        state: dict[str, State] = {Key.USER: users, Key.LATENT: latent}
        if self.observation_size:
            state[Key.OBSERVATION] = self.starts[which]
        return TensorDict(state, [len(rows)], self.device)

    @torch.no_grad()
    def respond(self, state: TensorDictBase, slate: Tensor) -> Response:
        """Take, go on, be gone for some time, or for good."""
        old, models = state[Key.LATENT], self._models
        context = state[Key.OBSERVATION] if self.observation_size else slate[:, :0].float()
        counters = torch.arange(FIRST - 5, FIRST, device=self.device)
        keys = noise.mix(self.chance(state), counters)
        member = noise.below(keys[:, 0], len(models)), torch.arange(len(slate), device=self.device)

        before = torch.cat([context, old["traces"]], 1)
        choice = self._choice(before, slate)
        noises = noise.gumbel(noise.mix(keys[:, 1:2], pad(slate, (0, 1))))
        place = (choice[member] + noises).argmax(1, keepdim=True)
        taken = place == torch.arange(slate.shape[1], device=self.device)
        mean, deviation = self._worth(before, slate)
        drawn = (mean[member] + deviation[member] * noise.normal(keys[:, 2:3])).exp()
        worth = torch.where(taken, drawn, 0.0)
        item, value, click = (slate * taken).sum(1), worth.sum(1), taken.any(1).float()

        counts = old["slates"] + 1, old["accepted"] + click
        numbers = counts[0].long().unsqueeze(1), counts[1].unsqueeze(1), click.unsqueeze(1)
        lived = models[0].follow(old["traces"], item, value, torch.zeros_like(value))
        after = torch.cat([context, lived], 1)
        ending = torch.stack([m.leaving(after, *numbers).sigmoid() for m in models])
        chance = noise.uniform(keys[:, 3:]).float()
        ended = chance[:, 0] < ending[member]
        absence, soon = self._absence(after, old["day"], member, chance[:, 1])
        leaves, absence = ended & (absence == 0), absence * ended

        if self.pays == "values":
            paid = (choice[..., :-1] + mean + deviation.square() / 2).exp().sum(2)
        else:
            paid = ending * soon
        uncertainty = paid.std(0, correction=0)
        latent = {
            "traces": models[0].follow(old["traces"], item, value, absence),
            "day": old["day"] + absence,
            "slates": torch.where(ended, 0, counts[0]),
            "accepted": torch.where(ended, 0, counts[1]),
        }
        changed: dict[str, State] = {
            Key.LATENT: latent,
            PAY: (paid.mean(0) - self.penalty * uncertainty).unsqueeze(1),
        }
        if self.observation_size:
            answer = {"item": item, "value": value, "ended": ended, "absence": absence}
            changed[Key.OBSERVATION] = self.observe(state, answer)
        if self.is_ensemble:
            changed[Key.UNCERTAINTY] = uncertainty.unsqueeze(1)
        return Response(taken, worth, leaves, changed)

    def pay(self, response: Response, changed: Mapping[str, State]) -> Tensor:
        """Give what the models expect, less the penalty, (B, 1)."""
        paid = changed[PAY]
        assert isinstance(paid, Tensor)
        return paid

    @property
    def _models(self) -> list[SessionModel]:
        return [member for member in self.members if isinstance(member, SessionModel)]

    def _choice(self, state: Tensor, slate: Tensor) -> Tensor:
        """Log-probabilities (M, B, K + 1) of what is taken, by each member."""
        vectors, there = self.item_vectors[slate], slate > PADDING
        return torch.stack([m.choosing(state, vectors, there) for m in self._models])

    def _worth(self, state: Tensor, slate: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (M, B, K) of the logarithm of items' worths, by member."""
        vectors = self.item_vectors[slate]
        found = [m.valuing(state, vectors) for m in self._models if m.valuing is not None]
        if not found:  # all that is taken is worth 1
            alike = torch.zeros(len(self.members), *slate.shape, device=self.device)
            return alike, alike
        mean, deviation = zip(*found, strict=True)
        return torch.stack(mean), torch.stack(deviation)

    def _absence(
        self, state: Tensor, day: Tensor, member: tuple[Tensor, Tensor], chance: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Draw how long users stay away whose sessions end.

        :returns: (B,) periods, 0 for good or beyond the horizon; and (M, B) probabilities of a
            return before it, by member.
        """
        found = [m.returning(state).exp() for m in self._models if m.returning is not None]
        if not found:
            return torch.zeros_like(day), torch.zeros(len(self.members), len(day)).to(day)
        law = torch.stack(found)[..., :-1]
        periods = torch.arange(1, law.shape[2] + 1, device=self.device)
        within = day.unsqueeze(1) + periods < self.horizon
        # The first period whose distribution function is above chance.
        away = 1 + (law[member].cumsum(1) <= chance.unsqueeze(1)).sum(1)
        return torch.where(day + away < self.horizon, away, 0).to(day), (law * within).sum(2)
