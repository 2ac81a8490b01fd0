"""The earnings of a run on a log of items that somebody else showed, each with its propensity."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
import torch
from tensordict import TensorDict
from torch import Tensor
from torch.nn.functional import one_hot, pad

from lightrec.data.domain import eligible
from lightrec.data.log import InteractionLog
from lightrec.data.people import People
from lightrec.data.readers.base import Columns, read_tables
from lightrec.errors import DataError
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
from lightrec.intervals import Interval
from lightrec.keys import PADDING, Column, Key
from lightrec.policies.base import session_start, without_nothing
from lightrec.ranking.continued import items_before
from lightrec.run import Run
from lightrec_ope import estimators as ope
from lightrec_ope.estimators.estimate import IntervalName, around, unusable
from lightrec_ope.estimators.models import by_user
from lightrec_ope.estimators.studies import Judge

BATCH: Final = 256
"""Rounds that are looked at together."""
PRIOR: Final = 10.0
"""Number of rounds of the mean reward that stand beside an item's rounds."""
BOUNDS: Final = (1, 3, 10, 30, 100, None)
"""Bounds of weights, among which SLOPE chooses."""


def _slope(log: ope.BanditLog, interval: IntervalName, seed: int) -> ope.Estimate:
    return ope.slope([ope.DR(at) for at in BOUNDS], log)[0](log, interval, seed)


def _in_agreement(biased: Judge) -> Judge:
    """Offer an estimator only where DR and SNIPS, which are less biased, do not contradict it.

    No interval holds a bias: this one is made as wide as that of DR.
    """

    def judge(log: ope.BanditLog, interval: IntervalName, seed: int) -> ope.Estimate:
        estimate = biased(log, interval, seed)
        less = {"DR": ope.DR()(log, interval, seed), "SNIPS": ope.SNIPS()(log, interval, seed)}
        off = [name for name, each in less.items() if not each.low <= estimate.value <= each.high]
        if off:
            why = f"{' and '.join(off)}, of less bias, find{'s' * (len(off) < 2)} something else"
            return unusable(estimate, why)
        low, high = min(estimate.low, less["DR"].low), max(estimate.high, less["DR"].high)
        return replace(estimate, low=low, high=high)

    return judge


ESTIMATORS: Final[dict[str, Judge]] = {
    "IPS": ope.IPS(),
    "SNIPS": ope.SNIPS(),
    "DM": _in_agreement(ope.DM()),
    "DR": ope.DR(),
    "DR, bounded by SLOPE": _in_agreement(_slope),
    "SNDR": ope.SNDR(),
}
"""Estimators of a log of shown items, by name."""


class ShownItems(Evaluator):
    """Estimates what recommenders would earn, by a log of items that somebody else showed.

    It is what ``lightrec estimate`` does, in the report: the log has a row for each item that was
    shown, with its reward and its propensity, and is newer than the run's own.

    :param log: a file or folder.
    :param columns: the log's columns, by name or position: ``{value: clicked, propensity: p}``.
    """

    def __init__(self, log: str, columns: Columns | None = None) -> None:
        self.log, self.columns = Path(log), columns

    def evaluate(self, run: Run, seed: int) -> Findings:
        """``shown/<recommender>`` and ``shown/<recommender>/gain``, not of what is unusable."""
        log = read_tables(self.log, columns=self.columns).log
        policy = ["policy"] if run.holding("policy").has("policy") else []
        metrics = {"shown/rounds": float(len(log))}
        rows: list[list[str]] = []
        gains: dict[str, Interval] = {}
        for name in ("blend", *policy, "popularity"):
            bandit = with_item_means(rounds(run, log, name), seed)
            estimate = ope.DR()(bandit, "bootstrap", seed)
            if not rows:
                ends = around(bandit.reward, bandit.users, "bootstrap", seed)
                metrics |= keys_of("shown/log", ends)
                rows.append(["what was shown", spread(ends, ".4f"), *[NOTHING] * 3])
            value = gain = NOTHING
            if estimate.verdict is not ope.Verdict.UNUSABLE:
                ends = Interval(estimate.value, estimate.low, estimate.high)
                # Paired by round, since chance of the log's rewards moves both in one direction.
                lead = around(estimate.parts - bandit.reward, bandit.users, "bootstrap", seed)
                metrics |= keys_of(f"shown/{name}", ends) | keys_of(f"shown/{name}/gain", lead)
                value, gain, gains[name] = spread(ends, ".4f"), spread(lead, "+.4f"), lead
            metrics[f"shown/{name}/verdict"] = [*ope.Verdict][::-1].index(estimate.verdict)
            why = "; ".join(estimate.reasons) or NOTHING
            rows.append([name, value, gain, str(estimate.verdict), why])
        head = ["mean reward of an item", "estimate", "gain over what was shown", "verdict", "why"]
        text = (
            f"What the first item of each recommender would have earned in {len(log):,} rounds in "
            "which somebody else chose what to show, with the probability of each item: "
            "DR with 95 % intervals over users, and whether the log can tell at all. What it "
            "cannot tell has no number."
        )
        chart = [Intervals(gains, "gain over what was shown")] if gains else []
        title = "What the log says of other policies"
        return Findings(metrics, [Section(title, text, [Table(head, rows)], chart)])


def estimates(
    run: Run, log: InteractionLog, by: str, interval: IntervalName = "bootstrap", seed: int = 0
) -> dict[str, ope.Estimate]:
    """Estimate the mean reward of a run's first item by a log of items that were shown.

    :param by: ``policy``, by its law; ``blend`` or ``popularity``, which show their best item.
    :returns: estimates by name; ``log`` is the log's own mean.
    :raises DataError: where the log lacks rewards or propensities, or shows unknown items.
    """
    bandit = with_item_means(rounds(run, log, by), seed)
    # Under a target that does what was done all weights are 1.
    done = one_hot(bandit.action, bandit.target.shape[1]).double()
    as_done = replace(bandit, target=done, propensity=torch.ones_like(bandit.reward))
    of_log = {"log": ope.IPS()(as_done, interval, seed)}
    return of_log | {name: each(bandit, interval, seed) for name, each in ESTIMATORS.items()}


@torch.no_grad()
def rounds(run: Run, log: InteractionLog, by: str) -> ope.BanditLog:
    """Ask a run what it would have shown in each round of a log: what it recommends.

    A person's history is what the run knows of them before the round, so that the log should be
    newer than the run's; it is read and served as `lightrec recommend` does. Of a slate whose
    impression and positions are known, what stands at earlier places cannot come again.

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
    laws = _each_round(run, log, lambda details, mask, _: _law(run, by, details, mask, shown))
    row = pl.format("round {}", pl.int_range(pl.len()))
    users = frame.select(pl.coalesce(log.users(), row).rank("dense")).to_series()
    return ope.BanditLog(
        action,
        frame[Column.VALUE].cast(pl.Float64).to_torch(),
        laws,
        frame[Column.PROPENSITY].to_torch(),
        users=users.cast(pl.Int64).to_torch(),
    )


def studied(
    run: Run, log: InteractionLog, by: str, interval: IntervalName = "bootstrap", seed: int = 0
) -> ope.Study:
    """Study which of the estimators errs least on logs like this one.

    The world in which it is studied knows how the run's blend scores an item in a round, next to
    the items' means: the model that DM and DR read knows these alone, as it does of the log.

    :raises DataError: as :func:`estimates`.
    """
    world = ope.fitted_world(rounds(run, log, by), *_appeal(run, log))

    def refit(drawn: ope.BanditLog, _: Tensor, seed: int) -> ope.BanditLog:
        return with_item_means(drawn, seed)

    return ope.study(world, ESTIMATORS, refit, interval, seed=seed)


def errors(whole: ope.Study) -> str:
    """Set a study's errors as a table, as parts of the truth, and say what it recommends."""

    def share(value: float, form: str) -> str:
        return format(value / abs(whole.truth), form) if whole.truth else f"{value:.3g}"

    rows = [
        [
            name,
            share(each.bias, "+.1%"),
            share(each.deviation, ".1%"),
            share(each.rmse, ".1%"),
            f"{each.covered:.0%}",
            f"{each.unusable:.0%}",
        ]
        for name, each in whole.errors.items()
    ]
    head = ["in a world fitted to the log", "bias", "deviation", "RMSE"]
    text = [Table([*head, "interval holds", "unusable"], rows).text()]
    text += [f"{name} is left out: {why}" for name, why in whole.left_out.items()]
    text.append(f"The truth there is {whole.truth:.4g}; errors are parts of it.")
    if whole.effective is not None:
        here, drawn = whole.effective
        text.append(f"Effective rounds: {here:.0f} in the log, {drawn:.0f} in the world's logs.")
    if whole.best is None:
        text.append("No estimator can tell from logs like this one what this would earn.")
    else:
        text.append(f"The smallest error there is that of {whole.best}.")
    return "\n".join(text)


@torch.no_grad()
def _appeal(run: Run, log: InteractionLog) -> tuple[Tensor, Tensor]:
    """Score what the log shows by the blend, and tell what of it could be shown.

    :returns: (n, M + 1, 1) scores, standardised in each round; and (n, M + 1) bool: where the log
        shows nothing that the run would not, such as what a user has had, that could not be shown.
        The last column, all others, is 0.
    """
    places = _places(run)
    items = torch.tensor([places[str(item)] for item in log.events[Column.ITEM].to_list()])
    shown, action = items.unique(return_inverse=True)

    def ask(details: dict[str, Tensor], mask: Tensor, offered: Tensor) -> Tensor:
        parts = _scores(run, details), offered, mask
        return torch.stack([part[:, shown].float() for part in parts], 1)

    scores, could, may = _each_round(run, log, ask).unbind(1)
    could = (may if bool(may.gather(1, action[:, None]).all()) else could).bool()
    scores = (scores - scores.mean(1, keepdim=True)) / scores.std(1, keepdim=True).clamp(min=1e-6)
    return pad(scores.nan_to_num(), (0, 1)).unsqueeze(2), pad(could, (0, 1))


def _places(run: Run) -> dict[str, int]:
    """The items' numbers by their names."""
    return {str(item): n for n, item in enumerate(run.data.catalog[Column.ITEM].to_list(), 1)}


def _each_round(
    run: Run, log: InteractionLog, ask: Callable[[dict[str, Tensor], Tensor, Tensor], Tensor]
) -> Tensor:
    """Ask something of the state in which each round of a log found the run: (n, …).

    :param ask: gets what is known of B people, see :meth:`lightrec.data.people.People.events`, what
        the run may show them and what the log could, (B, N + 1) bool each.
    """
    store, places, frame = run.data, _places(run), log.events
    whole = pl.lit(np.iinfo(np.int64).max)
    times = frame.select(pl.col(Column.TIME).dt.epoch("ms").fill_null(whole)).to_series().to_numpy()
    users = [*map(str, log.users())]
    candidates, before = frame[Column.CANDIDATES].to_list(), _shown_before(frame)
    order, answers = [], []
    for rows, table, details in People(store).before(users, times, BATCH):
        offered = torch.ones(len(rows), store.num_items + 1, dtype=torch.bool)
        for row, number in enumerate(rows.tolist()):
            if (some := candidates[number]) is not None:
                offered[row] = False
                offered[row, [places.get(str(item), PADDING) for item in some]] = True
            gone = [places.get(str(item), PADDING) for item in before.get(number, ())]
            offered[row, gone] = False
        mask = offered.scatter(1, details[Key.SEEN], False)
        mask[:, PADDING] = False
        now = np.minimum(times[rows], store.times.max())
        if (allowed := eligible(store, table, now, details)) is not None:
            mask &= torch.from_numpy(allowed)
        order.append(rows)
        answers.append(ask(details, mask, offered))
    return torch.cat(answers)[np.concatenate(order).argsort()]


def not_newer(run: Run, log: InteractionLog) -> int:
    """Count the rounds before the last event of a run, which may have learned what they brought."""
    last = int(run.data.times.max()) if run.data.has_times else -1
    return int((log.events[Column.TIME].dt.epoch("ms") <= last).sum())


def _shown_before(frame: pl.DataFrame) -> dict[int, list[str]]:
    """Name the items at earlier places of a round's slate, by the round's number."""
    place = Column.IMPRESSION, Column.USER, Column.POSITION
    slates = frame.select(pl.int_range(pl.len()).alias("round"), Column.ITEM, *place)
    slates = slates.drop_nulls([Column.IMPRESSION, Column.POSITION])
    pairs = slates.join(slates, on=place[:2], nulls_equal=True, suffix=" before")
    pairs = pairs.filter(pl.col(Column.POSITION) > pl.col(f"{Column.POSITION} before"))
    return dict(pairs.group_by("round").agg(f"{Column.ITEM} before").iter_rows())


def _scores(run: Run, details: dict[str, Tensor]) -> Tensor:
    """Score all items as `lightrec recommend` does by the blend, (B, N + 1).

    Without a history, by what people with the same attributes choose or by popularity.
    """
    history, user = details[Key.HISTORY], details.get(Key.USER)
    scores = run.served.scores(history, user, details=details)
    described = user is not None or Key.PROFILE in details
    alike = (run.demographic if described else None) or run.popularity
    return scores.where(history.any(1, keepdim=True), alike.scores(history, user, details=details))


def _law(run: Run, by: str, details: dict[str, Tensor], mask: Tensor, shown: Tensor) -> Tensor:
    """The probability of each item that the log shows, and of the others: (B, M + 1)."""
    history, count = details[Key.HISTORY], len(mask)
    if by == "policy":
        learned = run.holding("policy")  # an update makes none: it knows the items of its version
        items, nothing = items_before(run.data, learned.data), learned.data.num_items + 1
        then = without_nothing(pad(items, (0, 1), value=nothing)[history], nothing)
        user = details.get(Key.USER) if learned is run else None
        before = TensorDict(session_start(then, user), [count])
        there = torch.zeros(count, nothing, dtype=torch.bool)
        before[Key.MASK] = there.index_copy_(1, items[items > 0], mask[:, items > 0])
        law, none = learned.policy.distribution(before), torch.full((count,), -torch.inf)
        each = [law.log_prob(n.expand(count, 1)) if n else none for n in items[shown]]
        likely = torch.stack(each, 1).double().exp()
    else:
        scores = run.popularity.scores(history) if by == "popularity" else _scores(run, details)
        scores = scores.masked_fill(~mask, -torch.inf)
        likely = (scores.argmax(1)[:, None] == shown).double()
    return torch.cat([likely, (1 - likely.sum(1, keepdim=True)).clamp(min=0)], 1)


def with_item_means(log: ope.BanditLog, seed: int = 0) -> ope.BanditLog:
    """Expect of each item its mean reward in other users' rounds, shrunk to that of all items.

    :raises DataError: where there is one user alone.
    """
    count = log.target.shape[1]
    expected = torch.zeros(len(log.action), count, dtype=torch.float64)
    for others, rows in by_user(log.users, len(expected), seed):
        mean = log.reward[others].double().mean()
        sums = torch.bincount(log.action[others], log.reward[others].double(), count)
        times = torch.bincount(log.action[others], minlength=count)
        expected[rows] = (sums + PRIOR * mean) / (times + PRIOR)
    return replace(log, expected=expected)
