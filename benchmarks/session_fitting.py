"""Fitting a session model to steps of sessions, and how well it predicts held-out ones."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from benchmarks.session_model import SessionModel
from lightrec.users.parts import UserPart
from lightrec.users.parts_fitting import learn

UPDATES, BATCH = 300, 1024
"""Optimizer steps of a part, at least, and their rows; each row is met twice, at least."""


@dataclass(frozen=True)
class SessionSteps:
    """R steps of sessions: those of each user one after another, the oldest first.

    :param user: (R,) int64; steps of a user stand together.
    :param context: (R, G) float32, what else was known before a step.
    :param slate: (R, K) int64 items that were shown, 0 in empty places.
    :param place: (R,) int64 that was taken, K for none.
    :param value: (R,) float32 worth of what was taken, 0 for none.
    :param step: (R, 1) int64 slates shown in the session, this one included.
    :param accepted: (R, 1) float32 items accepted in the session, this step's included.
    :param ended: (R,) bool: the session ended with the step.
    :param cut: (R,) bool: whether it did is not known.
    :param absence: (R,) int64 periods until the next session where one was ``seen``; else the
        periods in which there was surely none. 0 while a session goes on.
    :param seen: (R,) bool: the user was seen again after the session that ended here.
    """

    user: Tensor
    context: Tensor
    slate: Tensor
    place: Tensor
    value: Tensor
    step: Tensor
    accepted: Tensor
    ended: Tensor
    cut: Tensor
    absence: Tensor
    seen: Tensor

    def __len__(self) -> int:
        """The number of steps."""
        return len(self.user)

    def at(self, chosen: Tensor) -> "SessionSteps":
        """Only some steps, by bools (R,) or by places."""
        return replace(self, **{f.name: getattr(self, f.name)[chosen] for f in fields(self)})

    @property
    def taken(self) -> Tensor:
        """(R,) int64 items that were taken, 0 for none."""
        places = torch.arange(self.slate.shape[1], device=self.slate.device)
        return (self.slate * (places == self.place.unsqueeze(1))).sum(1)

    def waves(self) -> Iterator[Tensor]:
        """Give the places of all users' first steps, then of all second ones, and so on."""
        begins = torch.ones_like(self.user, dtype=torch.bool)
        begins[1:] = self.user[1:] != self.user[:-1]
        order = torch.arange(len(self), device=self.user.device)
        nth = order - torch.where(begins, order, 0).cummax(0).values
        by_nth = nth.argsort(stable=True)
        yield from by_nth.split(torch.bincount(nth).tolist())

    def resampled(self, generator: torch.Generator) -> "SessionSteps":
        """Draw as many users as there are, with replacement; each draw is a user of its own."""
        _, count = self.user.unique_consecutive(return_counts=True)
        begins = count.cumsum(0) - count
        drawn = torch.randint(len(count), (len(count),), generator=generator)
        length = count[drawn]
        user = torch.arange(len(drawn)).repeat_interleave(length)
        first = (begins[drawn] - length.cumsum(0) + length)[user]
        return replace(self.at(first + torch.arange(len(user))), user=user)


@torch.no_grad()
def states(model: SessionModel, steps: SessionSteps) -> tuple[Tensor, Tensor]:
    """Give the states (R, S) before steps, and after them, before the absence that may follow."""
    before = steps.context.new_zeros(len(steps), model.trace_size)
    after, taken = torch.zeros_like(before), steps.taken
    for rows in steps.waves():
        answer = before[rows], taken[rows], steps.value[rows]
        after[rows] = model.follow(*answer, torch.zeros_like(steps.value[rows]))
        following = (rows + 1).clamp_max(len(steps) - 1)
        more = (steps.user[following] == steps.user[rows]) & (following > rows)
        moved = model.follow(*answer, steps.absence[rows].float())
        before[following[more]] = moved[more]
    return torch.cat([steps.context, before], 1), torch.cat([steps.context, after], 1)


Rows = dict[str, tuple[UserPart, tuple[Tensor, ...], tuple[Tensor, ...]]]
"""By name a part of a model, the outcomes of which it has a law, and what this depends on."""


def rows_of(model: SessionModel, steps: SessionSteps, *, alike: bool = False) -> Rows:
    """Give each part of a model its rows of some steps.

    :param alike: let users, sessions and items be the same everywhere, so that what is fitted to
        them is one law for everybody.
    """
    before, after = states(model, steps)
    took = steps.place < steps.slate.shape[1]
    known, over = ~steps.cut, steps.ended & ~steps.cut
    numbers = (after, steps.step, steps.accepted, took.unsqueeze(1).float())
    shown = model.vectors[steps.slate], steps.slate > 0
    found: Rows = {
        "choice": (model.choosing, (steps.place,), (before, *shown)),
        "going_on": (
            model.leaving,
            (steps.ended[known],),
            tuple(number[known] for number in numbers),
        ),
    }
    if model.valuing is not None:
        vectors = model.vectors[steps.taken[took]].unsqueeze(1)
        found["value"] = model.valuing, (steps.value[took],), (before[took], vectors)
    if model.returning is not None:
        found["return"] = model.returning, (steps.absence[over], steps.seen[over]), (after[over],)
    if not alike:
        return found
    return {
        name: (part, outcomes, tuple(x if x.dtype == torch.bool else x**0 for x in given))
        for name, (part, outcomes, given) in found.items()
    }


def fit_sessions(
    model: SessionModel,
    steps: SessionSteps,
    seed: int,
    *,
    resampled: bool = False,
    alike: bool = False,
    updates: int = UPDATES,
) -> SessionModel:
    """Fit a model by maximum likelihood; it is left in evaluation mode.

    :param seed: of the order of the steps, and of the users drawn.
    :param resampled: fit to as many users drawn with replacement, as for the members of an
        ensemble (Breiman 1996, "Bagging predictors").
    :param alike: fit one law for everybody, see :func:`rows_of`.
    :param updates: optimizer steps of each part, at least.
    """
    if resampled:
        steps = steps.resampled(torch.Generator().manual_seed(seed))
    for part, outcomes, given in rows_of(model, steps, alike=alike).values():
        part.standardise(*given)
        if count := len(outcomes[0]):
            batches = -(-count // BATCH)
            learn(part, (*outcomes, *given), max(2, -(-updates // batches)), seed, BATCH)
    return model.eval()


@torch.no_grad()
def log_likelihoods(
    model: SessionModel, steps: SessionSteps, *, alike: bool = False
) -> dict[str, float]:
    """Give each part's mean log-likelihood of steps, in nats."""
    return {
        name: float(part.log_likelihood(*outcomes, *given).double().mean())
        for name, (part, outcomes, given) in rows_of(model, steps, alike=alike).items()
    }
