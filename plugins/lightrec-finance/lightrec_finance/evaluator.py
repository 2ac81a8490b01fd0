"""The course of portfolios that are made of what is recommended."""

from typing import Final

import numpy as np
import torch
from lightrec_formats.made_up import Floats
from numpy.typing import NDArray
from torch import Tensor

from lightrec.api import (
    Curve,
    Evaluator,
    EventStore,
    Findings,
    NotApplicable,
    Run,
    Section,
    Table,
    by_history,
)
from lightrec.data.domain import LogMask
from lightrec.data.sequences import Sequences, Targets
from lightrec.data.store import TEST
from lightrec.policies.baselines import PopularityPolicy
from lightrec.ranking.evaluation_events import EvaluationEvents
from lightrec.ranking.metrics import evaluate_scores
from lightrec.ranking.scorers import Scorer
from lightrec_finance.domain import FinanceDomain
from lightrec_finance.portfolio import Course, follow
from lightrec_finance.prices import Days, PriceFiles, Prices, span
from lightrec_finance.risk import is_assessed

TITLE: Final = "Portfolios of what is recommended"
ROWS: Final = {
    "recommended": "what the blend recommends",
    "popularity": "the most popular products",
    "holding": "what investors had bought, and no trade",
    "everything": "equal weight of all products",
}
COLUMNS: Final = {
    "return": "return",
    "volatility": "volatility (a year)",
    "drawdown": "largest drawdown",
    "turnover": "turnover",
    "sharpe": "Sharpe ratio",
}


class Portfolios(Evaluator):
    """Buys what is shown, the same amount of each product, and looks at return and risk.

    At the end of each month of the test time each user's list is made again, from the events before
    it, and carried out on the next trading day. What is shown can have a price, and obeys
    suitability. Beside it stand the most popular products, what each investor had bought before,
    and all products, which is an index of equal weights.

    :param prices: one or several files of daily prices, or ``made-up`` for the synthetic log's.
    :param shown: products in a list.
    :param cost: of what is traded; 0.001 is 10 basis points of each purchase and each sale.
    """

    def __init__(self, prices: PriceFiles, shown: int = 10, cost: float = 0.001) -> None:
        self.prices, self.shown, self.cost = prices, shown, cost

    def evaluate(self, run: Run, seed: int) -> Findings:
        """``finance/…/return``, ``volatility``, ``drawdown``, ``turnover`` and ``sharpe``.

        Without prices, or where the test time has no month's end with prices after it, there are no
        metrics, and the section says why.
        """
        try:
            prices = Prices.of(self.prices, run.data)
            days = month_ends(run.data, prices)
        except NotApplicable as error:
            return Findings({}, [Section(TITLE, str(error), note=FinanceDomain.disclaimer)])
        courses = self.courses(run, prices, days)
        metrics: dict[str, float] = {
            "finance/months": len(days) - 1,
            "finance/users": courses["recommended"].turnover.size,
            "finance/unpriced": int(np.isnan(prices.values).all(0).sum()),
        }
        first, last = (_quoted(prices.until(day)) for day in (days[0], days[-1]))
        metrics["finance/ended"] = int((first & ~last).sum())
        for name, course in courses.items():
            figures = course.figures().items()
            metrics |= {f"finance/{name}/{key}": float(value.mean()) for key, value in figures}
        return Findings(metrics, [self.section(run, metrics, courses)])

    def courses(self, run: Run, prices: Prices, days: Days) -> dict[str, Course]:
        """Follow each recommender's portfolios, those of P users or one, over the test time.

        :param days: those of the decisions, and the last one that is looked at.
        """
        recommenders = {
            "recommended": by_history(run.blend),
            "popularity": by_history(PopularityPolicy.from_run(run)),
        }
        past = {day: prices.until(day) for day in days}
        last = past.pop(days[-1])
        decided = {
            name: {day: self.decide(run.data, part, until, days[0]) for day, until in past.items()}
            for name, part in recommenders.items()
        }
        first = next(iter(past))
        decided["holding"] = {first: self.bought(run.data, past[first])}
        decided["everything"] = {day: _equal(_quoted(until)[None]) for day, until in past.items()}
        return {name: follow(shares, last, self.cost) for name, shares in decided.items()}

    def decide(
        self, store: EventStore, scores: Scorer, prices: Prices, first: np.datetime64
    ) -> Floats:
        """Choose portfolios in the evening of the prices' last day, from events until then.

        :param scores: from what is known of users' events to (B, N + 1).
        :param first: the day of the first decision: portfolios are those of the P users who had
            events before it.
        :returns: (P, N) shares of the products.
        """
        log, suitable = Sequences.all_events(store), LogMask(store)
        users = np.flatnonzero(_ends(log, first) > log.offsets[:-1])
        quoted = torch.from_numpy(np.append(False, _quoted(prices)))

        def allowed(users: Tensor, ends: Tensor | None) -> Tensor:
            mask = suitable(users, ends)
            return quoted.expand(len(users), -1) if mask is None else mask & quoted

        ends = _ends(log, prices.days[-1])[users]
        # Nobody knows what is bought next: the target is any item.
        targets = Targets(np.ones(len(users), np.int32), users, ends)
        events = EvaluationEvents(log, targets, None, 256, None, 0)
        result = evaluate_scores(scores, events, list_length=self.shown, showable=allowed)
        held = np.zeros((store.num_users, store.num_items + 1), bool)
        held[result.users[:, None], result.lists] = True
        return _equal(held[users, 1:])

    def bought(self, store: EventStore, prices: Prices) -> Floats:
        """The same amount of each product that is quoted and that an investor had bought by a day.

        :returns: (P, N) shares, of the users that :meth:`decide` has.
        """
        day, log = prices.days[-1], Sequences.all_events(store)
        past = np.asarray(store.times) < _night(day)
        rows = np.flatnonzero(past & (np.asarray(store.strengths) > 0))
        held = np.zeros((store.num_users, store.num_items + 1), bool)
        held[store.users_of(rows), np.asarray(store.items)[rows]] = True
        return _equal(held[_ends(log, day) > log.offsets[:-1], 1:] & _quoted(prices))

    def section(self, run: Run, metrics: dict[str, float], courses: dict[str, Course]) -> Section:
        """Set the figures as a table, and draw the mean value of the portfolios."""
        checked = (
            "Nothing above an investor's risk limit is shown."
            if is_assessed(run.data.users, run.data.catalog)
            else "Nobody has assessed suitability: the log has no risk classes of products, and no "
            "risk limits of investors."
        )
        rows = []
        for name, title in ROWS.items():
            *shares, traded, sharpe = (metrics[f"finance/{name}/{figure}"] for figure in COLUMNS)
            rows.append([title, *map("{:.1%}".format, shares), f"{traded:.2f}", f"{sharpe:.2f}"])
        text = (
            f"The same amount of each of the {self.shown} products shown, decided again at "
            f"{metrics['finance/months']:.0f} month's ends and carried out a trading day later; "
            f"means over {metrics['finance/users']:.0f} users' portfolios, after costs of "
            f"{self.cost:.2%} of what is traded. Turnover counts purchases and sales. {checked} "
            f"Of the log's {run.data.num_items} products {metrics['finance/unpriced']:.0f} have no "
            f"price at all, and {metrics['finance/ended']:.0f} had one at the first decision and "
            "none in the last month. If failed products are among them, every row looks better "
            "than it was."
        )
        table = Table(["", *COLUMNS.values()], rows, ROWS["recommended"])
        axes = "trading days", "mean value"
        charts = [
            Curve([*range(len(course.days))], course.values.mean(1).tolist(), axes, ROWS[name])
            for name, course in courses.items()
        ]
        note = f"{FinanceDomain.disclaimer} A few months are one draw of chance."
        return Section(TITLE, text, [table], charts, note)


def month_ends(store: EventStore, prices: Prices) -> Days:
    """The last trading day of each month of the test time, and the last one of that time.

    The first is the last trading day before the first test event.

    :raises NotApplicable: where there are no prices for the log's test time.
    """
    begin, end = span(store, TEST)
    days = prices.days[(~np.isnan(prices.values)).any(1)]
    before, during = days[days < begin], days[(days >= begin) & (days <= end)]
    if not len(before) or len(during) < 3:
        raise NotApplicable(
            f"The test events are of {begin} to {end}, and there are too few prices for that time: "
            "name tables of daily prices with --values.prices FILE."
        )
    months = during.astype("datetime64[M]")
    lasts = during[:-1][months[1:] != months[:-1]]
    return np.concatenate([before[-1:], lasts, during[-1:]])


def _ends(log: Sequences, day: np.datetime64) -> NDArray[np.int64]:
    """For each user, where the events until the evening of a day end: (U,)."""
    before = np.concatenate([[0], np.cumsum(np.asarray(log.times) < _night(day))])
    return np.asarray(log.offsets[:-1] + before[log.offsets[1:]] - before[log.offsets[:-1]])


def _night(day: np.datetime64) -> int:
    return int((day + 1).astype("datetime64[ms]").astype(np.int64))


def _quoted(prices: Prices) -> NDArray[np.bool_]:
    """Tell which products have had a price in the last month: (N,)."""
    return np.asarray((~np.isnan(prices.values[-21:])).any(0))


def _equal(held: NDArray[np.bool_]) -> Floats:
    """Equal shares (P, N) of what is held; all cash where nothing is."""
    return held / np.maximum(held.sum(1, keepdims=True), 1)
