"""What becomes of portfolios that are made of what is recommended."""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from lightrec.data.domain import eligible
from lightrec.data.sequences import Sequences, padded
from lightrec.data.store import TEST, EventStore
from lightrec.errors import NotApplicable
from lightrec.evaluation.base import Curve, Evaluator, Findings, Section, Table
from lightrec.evaluation.held_out import by_history
from lightrec.keys import Key
from lightrec.ranking.metrics import top_items
from lightrec.ranking.scorers import Scorer
from lightrec.run import Run
from lightrec_finance.domain import FinanceDomain, is_assessed
from lightrec_finance.portfolio import Course, Decision, follow
from lightrec_finance.prices import PriceFiles, Prices

TITLE: Final = "Portfolios of what is recommended"
ROWS: Final = {
    "recommended": "what the blend recommends",
    "popularity": "the most popular products",
    "everything": "equal weight of all products",
}
COLUMNS: Final = {
    "return": "return",
    "volatility": "volatility (a year)",
    "drawdown": "largest drawdown",
    "turnover": "turnover",
}


class Portfolios(Evaluator):
    """Buys what is shown, the same amount of each product, and looks at return and risk.

    At the end of each month of the test time each user's list is made anew, from the events before
    it, and carried out on the next trading day. What is shown can have a price, and obeys
    suitability. Beside it stand the most popular products, and all of them.

    :param prices: one or several files of daily prices, or ``made-up`` for the made-up log's.
    :param shown: products in a list.
    :param cost: of what is traded; 0.001 is 10 basis points of each purchase and each sale.
    """

    def __init__(self, prices: PriceFiles, shown: int = 10, cost: float = 0.001) -> None:
        self.prices, self.shown, self.cost = prices, shown, cost

    def evaluate(self, run: Run, seed: int) -> Findings:
        """Give ``finance/…/return``, ``volatility``, ``drawdown`` and ``turnover``.

        Without prices, or where the test time has no month's end with prices after it, there are no
        metrics, and the section says why.
        """
        try:
            prices = Prices.of(self.prices, run.data)
            days = month_ends(run.data, prices)
        except NotApplicable as error:
            return Findings({}, [Section(TITLE, str(error), note=FinanceDomain.disclaimer)])
        courses = self.courses(run, prices, days)
        metrics = {
            "finance/months": len(days) - 1,
            "finance/users": courses["recommended"].turnover.size,
        }
        for name, course in courses.items():
            for figure, values in course.figures().items():
                metrics[f"finance/{name}/{figure}"] = float(values.mean())
        return Findings(metrics, [self.section(run, metrics, courses)])

    def courses(self, run: Run, prices: Prices, days: NDArray[np.datetime64]) -> dict[str, Course]:
        """Follow each contender's portfolios, those of P users or one, over the test time.

        :param days: those of the decisions, and the last one that is looked at.
        """
        store, prices, days = run.data, prices.until(days[-1]), days[:-1]
        counts = torch.from_numpy(store.popularity()).double()
        scorers: dict[str, Scorer] = {
            "recommended": by_history(run.blend),
            "popularity": lambda known: counts.expand(len(known[Key.USER]), -1),
        }
        found = {}
        for name, scores in scorers.items():
            decided = [self.decide(store, scores, prices.until(day), days[0]) for day in days]
            found[name] = follow(decided, prices, self.cost)
        everything = [Decision(day, _equal(_quoted(prices.until(day))[None])) for day in days]
        return found | {"everything": follow(everything, prices, self.cost)}

    def decide(
        self, store: EventStore, scores: Scorer, known: Prices, first: np.datetime64
    ) -> Decision:
        """Choose portfolios in the evening of the last day of some prices, from events until then.

        :param scores: from what is known of users' events to (B, N + 1).
        :param first: the day of the first decision: portfolios are those of users who had events
            before it.
        """
        log, day = Sequences.all_events(store), known.days[-1]
        begins = log.offsets[:-1]
        users = np.flatnonzero(_ends(log, first) > begins)
        ends = _ends(log, day)[users]
        events = log.details(begins[users], ends)
        events |= {Key.HISTORY: padded(log.items, begins[users], ends), Key.USER: users}
        seen = torch.from_numpy(log.known(begins[users], ends))
        allowed = torch.from_numpy(np.append(False, _quoted(known))).expand(len(users), -1)
        suitable = eligible(store, users)
        if suitable is not None:
            allowed = allowed & torch.from_numpy(suitable)
        with torch.inference_mode():
            given = scores({name: torch.from_numpy(part) for name, part in events.items()})
        shown = top_items(given, self.shown, seen, allowed).numpy()
        held = np.zeros((len(users), store.num_items + 1), bool)
        np.put_along_axis(held, shown, True, axis=1)
        return Decision(day, _equal(held[:, 1:]))

    def section(self, run: Run, metrics: dict[str, float], courses: dict[str, Course]) -> Section:
        """Set the figures as a table, and draw the mean value of the portfolios."""
        checked = "Nothing above an investor's risk limit is shown."
        if not is_assessed(run.data.users, run.data.catalog):
            checked = (
                "Nobody has assessed suitability: the log has no risk classes of products, and no "
                "risk limits of investors."
            )
        rows = []
        for name, title in ROWS.items():
            shares = [metrics[f"finance/{name}/{key}"] for key in [*COLUMNS][:3]]
            traded = f"{metrics[f'finance/{name}/turnover']:.2f}"
            rows.append([title, *(f"{share:.1%}" for share in shares), traded])
        text = (
            f"The same amount of each of the {self.shown} products shown, decided anew at "
            f"{metrics['finance/months']:.0f} month's ends and carried out a trading day later; "
            f"means over {metrics['finance/users']:.0f} users' portfolios, after costs of "
            f"{self.cost:.2%} of what is traded. Turnover counts purchases and sales. {checked}"
        )
        table = Table(["", *COLUMNS.values()], rows, ROWS["recommended"])
        axes, days = ("trading days", "mean value"), [*range(len(courses["everything"].days))]
        means = {name: course.values.mean(1).tolist() for name, course in courses.items()}
        charts = [Curve(days, values, axes, ROWS[name]) for name, values in means.items()]
        note = f"{FinanceDomain.disclaimer} A few months are one draw of chance."
        return Section(TITLE, text, [table], charts, note)


def month_ends(store: EventStore, prices: Prices) -> NDArray[np.datetime64]:
    """Give the last trading day of each month of the test time, and the last one of that time.

    The first is the last trading day before the first test event.

    :raises NotApplicable: where the log has no times, or there are no prices for its test time.
    """
    if not store.has_times:
        raise NotApplicable("Portfolios follow the calendar, and the log has no times.")
    times = np.asarray(store.times)[store.events(TEST)]
    days = prices.days[(~np.isnan(prices.values)).any(1)]
    if not len(times):
        raise NotApplicable("The log has no test events, whose time portfolios would follow.")
    begin, end = (
        np.datetime64(int(t), "ms").astype("datetime64[D]") for t in (times.min(), times.max())
    )
    before = days[days < begin]
    during = days[(days >= begin) & (days <= end)]
    if not len(before) or len(during) < 3:
        raise NotApplicable(
            f"The test events are of {begin} to {end}, and there are too few prices for that time: "
            "name tables of daily prices with --values.prices FILE."
        )
    months = during.astype("datetime64[M]")
    lasts = during[:-1][months[1:] != months[:-1]]
    return np.concatenate([before[-1:], lasts, during[-1:]])


def _ends(log: Sequences, day: np.datetime64) -> NDArray[np.int64]:
    """Give, for each user, where the events until the evening of a day end: (U,)."""
    night = (day + 1).astype("datetime64[ms]").astype(np.int64)
    before = np.concatenate([[0], np.cumsum(np.asarray(log.times) < night)])
    return np.asarray(log.offsets[:-1] + before[log.offsets[1:]] - before[log.offsets[:-1]])


def _quoted(known: Prices) -> NDArray[np.bool_]:
    """Tell which products have had a price in the last month: (N,)."""
    return np.asarray((~np.isnan(known.values[-21:])).any(0))


def _equal(held: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Give equal shares (P, N) of what is held; all cash where nothing is."""
    return held / np.maximum(held.sum(1, keepdims=True), 1)
