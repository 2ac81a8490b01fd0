"""What a run would earn on a log of items that somebody else showed, each with its propensity."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
import torch
from tensordict import TensorDict
from torch import Tensor
from torch.nn.functional import one_hot, pad

from lightrec.data.domain import showable
from lightrec.data.log import InteractionLog
from lightrec.data.readers.base import Columns, read_tables
from lightrec.errors import DataError, RecipeError
from lightrec.evaluation.base import (
    NOTHING,
    Evaluator,
    Findings,
    Intervals,
    Section,
    Table,
    keys_of,
    spread,
)
from lightrec.evaluation.estimators import (
    DM,
    DR,
    IPS,
    SNDR,
    SNIPS,
    BanditLog,
    Estimate,
    Study,
    Verdict,
    fitted_world,
    slope,
    study,
)
from lightrec.evaluation.estimators.estimate import IntervalName, around
from lightrec.evaluation.estimators.models import by_user
from lightrec.evaluation.estimators.studies import LOGS, Judge
from lightrec.keys import PADDING, Column, Key
from lightrec.policies.base import session_start, without_nothing
from lightrec.policies.baselines import PopularityPolicy
from lightrec.ranking.continued import items_before
from lightrec.run import Run

BATCH: Final = 1024
"""Rounds that are looked at together."""
HISTORY: Final = 200
"""Items of a history that are read."""
PRIOR: Final = 10.0
"""So many rounds of the mean reward stand beside an item's own."""
BOUNDS: Final = (1, 3, 10, 30, 100, None)
"""Of weights, among which SLOPE chooses."""


def _slope(log: BanditLog, interval: IntervalName, seed: int) -> Estimate:
    return slope([DR(at) for at in BOUNDS], log)[0](log, interval, seed)


ESTIMATORS: Final[dict[str, Judge]] = {
    "IPS": IPS(),
    "SNIPS": SNIPS(),
    "DM": DM(),
    "DR": DR(),
    "DR, bounded by SLOPE": _slope,
    "SNDR": SNDR(),
}
"""What estimates a log of shown items, by name."""


class ShownItems(Evaluator):
    """Estimates what contenders would earn, by a log of items that somebody else showed.

    It is what ``lightrec estimate`` does, in the report: the log has a row for each item that was
    shown, with its reward and its propensity, and is newer than the run's own.

    :param log: a file or folder.
    :param estimator: one of :data:`ESTIMATORS`.
    :param interval: as of an estimator.
    :param columns: the log's columns, by name or position: ``{value: clicked, propensity: p}``.
    """

    def __init__(
        self,
        log: str,
        estimator: str = "DR",
        interval: IntervalName = "bootstrap",
        columns: Columns | None = None,
    ) -> None:
        if estimator not in ESTIMATORS:
            raise RecipeError(
                f"There is no estimator {estimator!r} of items that were shown; there are "
                f"{', '.join(ESTIMATORS)}."
            )
        self.log, self.columns = Path(log), columns
        self.estimator, self.interval = estimator, interval

    def evaluate(self, run: Run, seed: int) -> Findings:
        """Give ``shown/<contender>`` and ``shown/<contender>/gain``, not of what is unusable."""
        log = read_tables(self.log, columns=self.columns).log
        names = [
            "blend",
            *(["policy"] if run.holding("policy").has("policy") else []),
            "popularity",
        ]
        metrics = {"shown/rounds": float(len(log))}
        rows: list[list[str]] = []
        gains: dict[str, tuple[float, float, float]] = {}
        for name in names:
            given = with_item_means(rounds(run, log, name), seed)
            own, found = as_shown(given), ESTIMATORS[self.estimator](given, self.interval, seed)
            if not rows:
                shown = IPS()(own, self.interval, seed)
                metrics |= keys_of("shown/log", (shown.value, shown.low, shown.high))
                mean = spread((shown.value, shown.low, shown.high), ".4f")
                rows.append(["what was shown", mean, NOTHING, NOTHING, NOTHING])
            value = gain = NOTHING
            if found.verdict is not Verdict.UNUSABLE:
                ends = found.value, found.low, found.high
                # Paired by round, since chance of the log's rewards moves both in one direction.
                lead = around(found.parts - given.reward, given.users, self.interval, seed)
                metrics |= keys_of(f"shown/{name}", ends) | keys_of(f"shown/{name}/gain", lead)
                value, gain, gains[name] = spread(ends, ".4f"), spread(lead, "+.4f"), lead
            metrics[f"shown/{name}/verdict"] = [*Verdict][::-1].index(found.verdict)
            rows.append(
                [name, value, gain, str(found.verdict), "; ".join(found.reasons) or NOTHING]
            )
        head = ["mean reward of an item", "estimate", "gain over what was shown", "verdict", "why"]
        text = (
            f"What the first item of each contender would have earned in {len(log):,} rounds in "
            "which somebody else chose what to show, with the probability of each item: "
            f"{self.estimator} with 95 % intervals over users, and whether the log can tell at "
            "all. What it cannot tell has no number."
        )
        chart = [Intervals(gains, "gain over what was shown")] if gains else []
        return Findings(
            metrics,
            [Section("What the log says of other policies", text, [Table(head, rows)], chart)],
        )


def as_shown(given: BanditLog) -> BanditLog:
    """Give a log whose target does what was done."""
    own = replace(given, target=one_hot(given.action, given.target.shape[1]).double())
    return replace(own, propensity=torch.ones_like(given.reward))


def estimates(
    run: Run, log: InteractionLog, by: str, interval: IntervalName = "bootstrap", seed: int = 0
) -> dict[str, Estimate]:
    """Estimate the mean reward of a run's first item by a log of items that were shown.

    :param by: ``policy``, by its law; ``blend`` or ``popularity``, which show their best item.
    :returns: estimates by name; ``log`` is the log's own mean.
    :raises DataError: where the log lacks rewards or propensities, or shows unknown items.
    """
    given = with_item_means(rounds(run, log, by), seed)
    found = {"log": IPS()(as_shown(given), interval, seed)}
    return found | {name: each(given, interval, seed) for name, each in ESTIMATORS.items()}


@torch.no_grad()
def rounds(run: Run, log: InteractionLog, by: str) -> BanditLog:
    """Ask a run what it would have shown in each round of a log.

    A user's history is what the run knows of the user: the log must be newer than that. Users whom
    it does not know have none. Items seen before are not shown again unless the domain lets them
    come again, and neither is what it forbids.

    :returns: actions are the items that the log shows, in the order of their numbers; the last
        action stands for all others.
    """
    frame, places = log.events, _places(run)
    items = [places.get(str(item), PADDING) for item in frame[Column.ITEM].to_list()]
    problems = [
        f"Column '{name}' is empty in {missing} of {len(log)} events; give every round its {what}."
        for name, what in ((Column.VALUE, "reward"), (Column.PROPENSITY, "propensity"))
        if (missing := frame[name].null_count())
    ]
    if unknown := sorted({str(i) for i, n in zip(frame[Column.ITEM], items, strict=True) if not n}):
        problems.append(
            f"{len(unknown)} of the items that were shown are not in the run's log, such as "
            f"{', '.join(unknown[:3])}: leave their rounds out, or make the run with them."
        )
    if problems:
        raise DataError(problems)
    shown, action = torch.tensor(items).unique(return_inverse=True)
    laws = [_law(run, by, state, shown) for _, state in _states(run, frame)]
    row = pl.format("round {}", pl.int_range(pl.len()))
    users = frame.select(pl.coalesce(log.users(), row).rank("dense")).to_series()
    return BanditLog(
        action,
        frame[Column.VALUE].cast(pl.Float64).to_torch(),
        torch.cat(laws),
        frame[Column.PROPENSITY].to_torch(),
        users=users.cast(pl.Int64).to_torch(),
    )


def studied(
    run: Run,
    log: InteractionLog,
    by: str,
    interval: IntervalName = "bootstrap",
    seed: int = 0,
    logs: int = LOGS,
) -> Study:
    """Study which of the estimators errs least on logs like this one.

    The world in which it is studied knows how the run's blend scores an item in a round, next to
    the items' means: the model that DM and DR read knows these alone, as it does of the log.

    :param logs: so many are drawn.
    :raises DataError: as :func:`estimates`.
    """
    given = rounds(run, log, by)
    world = fitted_world(given, *_appeal(run, log.events))

    def refit(drawn: BanditLog, _: Tensor, seed: int) -> BanditLog:
        return with_item_means(drawn, seed)

    return study(world, ESTIMATORS, refit, interval, logs, seed)


def errors(found: Study) -> str:
    """Set a study's errors as a table, as parts of the truth, and say what it recommends."""

    def share(value: float, form: str) -> str:
        return format(value / abs(found.truth), form) if found.truth else f"{value:.3g}"

    rows = [
        [
            name,
            share(each.bias, "+.1%"),
            share(each.deviation, ".1%"),
            share(each.rmse, ".1%"),
            f"{each.covered:.0%}",
            f"{each.unusable:.0%}",
        ]
        for name, each in found.errors.items()
    ]
    head = ["in a world fitted to the log", "bias", "deviation", "RMSE"]
    text = [Table([*head, "interval holds", "unusable"], rows).text()]
    text += [f"{name} is left out: {why}" for name, why in found.left_out.items()]
    text.append(f"The truth there is {found.truth:.4g}; errors are parts of it.")
    if found.effective is not None:
        own, drawn = found.effective
        text.append(f"Effective rounds: {own:.0f} in the log, {drawn:.0f} in the world's logs.")
    if found.best is None:
        text.append("No estimator can tell from logs like this one what this would earn.")
    else:
        text.append(f"The smallest error there is that of {found.best}.")
    return "\n".join(text)


@torch.no_grad()
def _appeal(run: Run, frame: pl.DataFrame) -> tuple[Tensor, Tensor]:
    """Score what the log shows by the blend, standardised in each round: (n, M + 1, 1).

    Gives what of it could be shown, too: (n, M + 1) bool; where the log shows nothing that the run
    would not, such as what a user has had, that could not. The last column, all others, is 0.
    """
    places = _places(run)
    items = torch.tensor([places[str(item)] for item in frame[Column.ITEM].to_list()])
    shown, own = items.unique(return_inverse=True)
    scores, offered, allowed = [], [], []
    for some, state in _states(run, frame):
        scores.append(run.blend.scores(state[Key.HISTORY])[:, shown])
        every = torch.ones_like(state[Key.MASK])
        offered.append(_offered(some, places, every)[:, shown])
        allowed.append(state[Key.MASK][:, shown])
    found, could, may = torch.cat(scores), torch.cat(offered), torch.cat(allowed)
    could = may if bool(may.gather(1, own[:, None]).all()) else could
    found = (found - found.mean(1, keepdim=True)) / found.std(1, keepdim=True).clamp(min=1e-6)
    return pad(found.nan_to_num(), (0, 1)).unsqueeze(2), pad(could, (0, 1))


def _places(run: Run) -> dict[str, int]:
    """Give the items' numbers by their names."""
    return {str(item): n for n, item in enumerate(run.data.catalog[Column.ITEM].to_list(), 1)}


def _users(run: Run, frame: pl.DataFrame) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """Give the users' rows (n,); -1 for those whom the run does not know."""
    known = {str(user): row for row, user in enumerate(run.data.user_ids.to_list())}
    return np.array([known.get(str(user), -1) for user in frame[Column.USER].to_list()])


def _states(run: Run, frame: pl.DataFrame) -> Iterator[tuple[pl.DataFrame, TensorDict]]:
    """Give some rounds at a time, with their states."""
    store, places, rows = run.data, _places(run), _users(run, frame)
    allowed = showable(store)
    for part in np.array_split(np.arange(len(rows)), -(-len(rows) // BATCH)):
        some, own = frame[part.tolist()], rows[part]
        ends = np.where(own < 0, 0, store.offsets[own + 1])
        history = torch.from_numpy(store.histories(np.maximum(own, 0), ends, HISTORY)).long()
        history[own < 0] = PADDING
        history *= history <= store.num_items
        mask = torch.ones(len(part), store.num_items + 1, dtype=torch.bool)
        if not store.repeats:
            mask.scatter_(1, history, False)
        forbidden = allowed(torch.from_numpy(np.maximum(own, 0)))
        mask &= _offered(some, places, mask) & (
            torch.ones_like(mask) if forbidden is None else forbidden
        )
        mask[:, PADDING] = False
        state = TensorDict(session_start(history), [len(part)])
        state[Key.MASK] = mask
        yield some, state


def _offered(rows: pl.DataFrame, places: dict[str, int], like: Tensor) -> Tensor:
    """Tell what could be shown in each round, (B, N + 1); everything where that is not said."""
    found = torch.ones_like(like)
    for row, offered in enumerate(rows[Column.CANDIDATES].to_list()):
        if offered is not None:
            found[row] = False
            found[row, [places.get(str(item), PADDING) for item in offered]] = True
    return found


def _law(run: Run, by: str, state: TensorDict, shown: Tensor) -> Tensor:
    """Give the probability of each item that the log shows, and of the others: (B, M + 1)."""
    if by == "policy":
        learned = run.holding("policy")  # an update makes none: it knows the items of its version
        own, nothing = items_before(run.data, learned.data), learned.data.num_items + 1
        known = without_nothing(pad(own, (0, 1), value=nothing)[state[Key.HISTORY]], nothing)
        before = TensorDict(session_start(known), state.batch_size)
        mask = torch.zeros(len(state), nothing, dtype=torch.bool)
        before[Key.MASK] = mask.index_copy_(1, own[own > 0], state[Key.MASK][:, own > 0])
        law, none = learned.policy.distribution(before), torch.full((len(state),), -torch.inf)
        each = [law.log_prob(n.expand(len(state), 1)) if n else none for n in own[shown]]
        found = torch.stack(each, 1).double().exp()
    else:
        if by == "popularity":
            scores = PopularityPolicy.from_run(run).scores(state)
        else:
            scores = run.blend.scores(state[Key.HISTORY])
        scores = scores.masked_fill(~state[Key.MASK], -torch.inf)
        found = (scores.argmax(1)[:, None] == shown).double()
    return torch.cat([found, (1 - found.sum(1, keepdim=True)).clamp(min=0)], 1)


def with_item_means(log: BanditLog, seed: int = 0) -> BanditLog:
    """Expect of each item its mean reward in other users' rounds, shrunk to that of all items.

    :raises DataError: where there is one user alone.
    """
    count = log.target.shape[1]
    expected = torch.zeros(len(log.action), count, dtype=torch.float64)
    for others, own in by_user(log.users, len(expected), seed):
        mean = log.reward[others].double().mean()
        sums = torch.bincount(log.action[others], log.reward[others].double(), count)
        times = torch.bincount(log.action[others], minlength=count)
        expected[own] = (sums + PRIOR * mean) / (times + PRIOR)
    return replace(log, expected=expected)
