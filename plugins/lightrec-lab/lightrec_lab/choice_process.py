"""Offers that people face, as a simulator for a learner who imitates them in their place."""

from typing import Any

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor
from torch.nn.functional import pad

from lightrec.errors import RecipeError
from lightrec.keys import PADDING, Key
from lightrec.simulators import noise
from lightrec.simulators.base import Response, Simulator


class ChoiceProcess(Simulator):
    """B people who are offered items, and choose one or nothing, which is the item N + 1.

    State: ``history`` (B, L) int64, the last choices, oldest first, and ``candidates``
    (B, C + 1) int64, items drawn evenly and afresh in every step, and nothing in the last column.
    Action: (B, 1) int64, the item chosen, which enters the history. Sessions begin with histories
    drawn from the given ones, and are cut after ``max_steps``; nobody leaves.

    :param num_items: number of items N, without nothing.
    :param batch_size: sessions B.
    :param starts: ``(R, L)`` int64 histories to begin with.
    :param offer_size: items C of an offer.
    :param settings: of :class:`~lightrec.simulators.base.Simulator`.
    :raises RecipeError: where an offer or a start is impossible.
    """

    observation_size = 0

    def __init__(
        self,
        num_items: int,
        batch_size: int,
        starts: Tensor,
        *,
        offer_size: int,
        max_steps: int = 20,
        **settings: Any,
    ) -> None:
        highest = int(starts.max()) if starts.numel() else num_items + 2
        if not 1 <= offer_size <= num_items or highest > num_items + 1:
            raise RecipeError(
                f"Offers of {offer_size} from {num_items} items, beginning with {len(starts)} "
                f"histories of items up to {highest}, are impossible: offers hold 1 to N distinct "
                "items, and histories, at least one, hold 0 to N + 1."
            )
        self.nothing, self.drawn = num_items + 1, offer_size
        super().__init__(
            self.nothing,
            batch_size,
            history_length=starts.shape[1],
            max_steps=max_steps,
            ending="fixed",
            repeats=True,
            offer_size=offer_size + 1,
            **settings,
        )
        self.starts = starts.to(self.device)

    def start(self, rows: Tensor, session: Tensor) -> TensorDict:
        """Begin with a history drawn evenly."""
        which = noise.below(noise.mix(session, -2), len(self.starts)).squeeze(1)
        state = {Key.USER: rows, Key.HISTORY: self.starts[which]}
        return TensorDict(state, batch_size=[len(session)], device=self.device)

    def offer(self, state: TensorDictBase) -> Tensor:
        """Draw different items evenly, and add nothing."""
        items = noise.distinct(self.chance(state), self.drawn, self.nothing - 1)
        return pad(1 + items, (0, 1), value=self.nothing)

    def respond(self, state: TensorDictBase, slate: Tensor) -> Response:
        """Take what is chosen."""
        all_taken = torch.ones_like(slate, dtype=torch.bool)
        return Response(all_taken, all_taken.float(), ~all_taken[:, 0])


def transitions(history: Tensor, candidates: Tensor, choice: Tensor, num_items: int) -> TensorDict:
    """Make demonstrations for a :class:`ChoiceProcess` of S logged sessions.

    :param history: ``(S, L)`` int64 choices before the first step.
    :param candidates: ``(S, T, C)`` int64 offers, padded on the right.
    :param choice: ``(S, T)`` int64 items chosen; N + 1 for nothing.
    :returns: ``(S, T - 1)`` transitions; the last step's next offer is not known.
    :raises RecipeError: where a choice was not on offer, or there are fewer than two steps.
    """
    offered = pad(candidates, (0, 1), value=num_items + 1)
    same = offered == choice.unsqueeze(-1)
    if choice.shape[1] < 2 or not bool(same.any(-1).all()) or bool((choice == PADDING).any()):
        raise RecipeError(
            f"{int((~same.any(-1)).sum())} of {choice.numel()} choices in sessions of "
            f"{choice.shape[1]} steps are not on offer. Give two steps or more, choices among the "
            "candidates, and N + 1 for nothing."
        )
    size, steps = choice.shape, choice.shape[1]
    state = {
        Key.USER: torch.arange(len(choice)).unsqueeze(1).expand(size),
        Key.HISTORY: torch.cat([history, choice], 1).unfold(1, history.shape[1], 1)[:, :steps],
        Key.CANDIDATES: offered,
        Key.ACTION: choice.unsqueeze(-1),
        Key.STEP: torch.arange(steps).expand(size).unsqueeze(-1),
    }
    state[Key.ACCEPTED_TOTAL] = state[Key.STEP].float()
    whole = TensorDict(state, batch_size=size)
    rows = whole[:, :-1]
    rows["next"] = whole[:, 1:].exclude(Key.ACTION)
    rows["next", "terminated"] = torch.zeros_like(rows[Key.STEP], dtype=torch.bool)
    return rows
