"""The best list for everybody: what a simulator pays to a recommender that looks at nobody.

Found by playing alone, so that it works for any simulator of items, whatever its laws.
"""

from collections.abc import Callable, Mapping

import torch
from tensordict import TensorDictBase
from torch import Tensor

from lightrec.keys import PADDING, Key
from lightrec.simulators.rollout import Contender, SessionSimulator, play

ROUNDS = 8
"""Rounds of play by which items are ranked."""
LEADERS = 8
"""Items that are tried as the first of the list, where a list could be shown again and again."""
PRIOR = 2.0
"""Showings that an item is taken to have had at the mean of all."""


class ConstantList:
    """Shows everybody the items of highest score, in order, of those that may be shown.

    :param scores: (N + 1,) float32, or anew in every step for a batch: a function from the number
        of sessions B to (B, N + 1).
    """

    def __init__(self, scores: Tensor | Callable[[int], Tensor]) -> None:
        self.scores = scores

    def user_vectors(self, history: Tensor) -> Tensor:
        """(B, 0): it goes by no history."""
        return torch.zeros(len(history), 0, device=history.device)

    def act(
        self, state: TensorDictBase, slate_size: int = 1, deterministic: bool = True
    ) -> TensorDictBase:
        """Write the slate, the same whether drawn or not."""
        rows = len(state[Key.HISTORY])
        scores = self.scores if isinstance(self.scores, Tensor) else self.scores(rows)
        scores = scores.expand(rows, -1)
        offered = state.get(Key.CANDIDATES, None)
        if offered is None:
            top = scores.masked_fill(~state[Key.MASK], -torch.inf).topk(slate_size)
            items = top.indices
        else:
            own = scores.gather(1, offered).masked_fill(offered == PADDING, -torch.inf)
            top = own.topk(slate_size)
            items = offered.gather(1, top.indices)
        return state.set(Key.ACTION, items.masked_fill(top.values == -torch.inf, PADDING))


class Tally:
    """Counts what was shown and what it earned, item by item; a recorder of sessions.

    What was accepted earns a step's reward, or all that was shown in equal parts; and in the same
    parts what the session earned from that step on.

    :param num_items: number of items N.
    """

    def __init__(self, num_items: int, device: torch.device | None = None) -> None:
        self.shown = torch.zeros(num_items + 1, dtype=torch.float64, device=device)
        self.earned = torch.zeros(2, 2, num_items + 1, dtype=torch.float64, device=device)
        """For a step and for the rest of the session: sums of what was earned, and of squares."""
        self.lowest, self.highest = torch.inf, -torch.inf
        self._steps: list[tuple[Tensor, Tensor, Tensor]] = []

    def round(self, seed: int) -> "Tally":
        """Go on with another round of sessions."""
        return self

    def __call__(self, state: TensorDictBase, following: TensorDictBase, alive: Tensor) -> None:
        """Note a step."""
        slate, taken = state[Key.ACTION], following[Key.TAKEN]
        reward = following["reward"].double()
        if alive.any():
            self.lowest = min(self.lowest, float(reward[alive].min()))
            self.highest = max(self.highest, float(reward[alive].max()))
        there = ((slate > PADDING) & alive.unsqueeze(1)).double()
        even = there / there.sum(1, keepdim=True).clamp_min(1)
        share = taken.double() / taken.sum(1, keepdim=True).clamp_min(1)
        part = torch.where(taken.any(1, keepdim=True), share, even)
        self._steps.append((slate, there, torch.cat([part, reward * alive.unsqueeze(1)], 1)))

    def close(self) -> None:
        """Count the sessions that were noted since, which are over."""
        rest: Tensor | float = 0.0
        for slate, there, noted in reversed(self._steps):
            part, reward = noted[:, :-1] * there, noted[:, -1:]
            rest = rest + reward
            self.shown.index_add_(0, slate.flatten(), there.flatten())
            for sums, worth in zip(self.earned, (reward, rest), strict=True):
                earned = (part * worth).flatten()
                sums[0].index_add_(0, slate.flatten(), earned)
                sums[1].index_add_(0, slate.flatten(), earned.square())
        self._steps.clear()

    def ranking(self, *, whole: bool) -> tuple[Tensor, Tensor]:
        """Give each item's mean earning a showing, drawn to that of all, and its standard error.

        :param whole: by what the rest of the session earned, or by the step alone.
        :returns: (N + 1,) float32 each.
        """
        sums, squares = self.earned[int(whole)]
        count = self.shown.sum().clamp_min(1)
        mean = sums.sum() / count
        spread = (squares.sum() / count - mean.square()).clamp_min(0).sqrt()
        known = self.shown + PRIOR
        return ((sums + PRIOR * mean) / known).float(), (spread / known.sqrt()).float()


def best_constant_lists(
    simulator: SessionSimulator,
    users: Tensor,
    seed: int,
    *,
    known: Mapping[str, Contender] | None = None,
    leaders: bool = False,
    progress: Callable[[], object] = lambda: None,
) -> tuple[Contender, Contender]:
    """Search the lists for everybody that earn most a step, and most a session.

    Items are ranked by what they earn, in rounds that show them by Thompson sampling without a look
    at the user: at first evenly, then those that did well. The rankings, the lists that are known,
    and rankings with another item in front then play the same sessions, and the best are taken.
    What they earn must be measured anew, in other sessions.

    :param simulator: with one session for each user.
    :param users: (U,) int64.
    :param seed: of the search.
    :param known: constant lists from elsewhere, such as popularity.
    :param leaders: also try the best items as the first of the list each, where the same list can
        be shown again and again.
    :param progress: called after every round of play, :func:`rounds` times.
    :returns: the best by reward per step and by reward per session, which may be the same.
    """
    tally = Tally(simulator.num_items, getattr(simulator, "device", None))
    chance = torch.Generator().manual_seed(seed)
    for turn in range(ROUNDS):
        # By turns for both aims; before anything is known all is shown evenly.
        scores = _drawn(tally, chance, whole=turn % 2 == 1)
        play(ConstantList(scores), simulator, users, seed + turn, record=tally)
        tally.close()
        progress()
    tried = [*(known or {}).values()]
    for whole in (False, True):
        mean, _ = tally.ranking(whole=whole)
        tried.append(ConstantList(mean))
        if leaders:
            first = mean[1:].topk(min(LEADERS, simulator.num_items)).indices + 1
            ahead = float(mean.max()) + 1
            tried += [ConstantList(mean.index_fill(0, item, ahead)) for item in first]
    earned = []
    for contender in tried:
        sessions, _ = play(contender, simulator, users, seed + ROUNDS)
        reward = float(sessions.reward.sum())
        earned.append((reward / float(sessions.length.sum()), reward))
        progress()
    a_step, a_session = (
        max(range(len(tried)), key=[pair[aim] for pair in earned].__getitem__) for aim in (0, 1)
    )
    return tried[a_step], tried[a_session]


def _drawn(tally: Tally, chance: torch.Generator, *, whole: bool) -> Callable[[int], Tensor]:
    """Give scores drawn anew for every session, about what each item is known to earn."""
    mean, error = tally.ranking(whole=whole)
    known = bool(error.any())

    def scores(rows: int) -> Tensor:
        noises = torch.randn(rows, len(mean), generator=chance).to(mean.device)
        return mean + (error if known else 1) * noises

    return scores


def rounds(known: int, leaders: bool, num_items: int) -> int:
    """How often :func:`best_constant_lists` plays."""
    return ROUNDS + known + 2 * (1 + (min(LEADERS, num_items) if leaders else 0))
