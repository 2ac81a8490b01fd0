"""Runs beside each other on the same held-out events, with paired tests by user."""

from collections.abc import Mapping, Sequence

import scipy
import torch
from torch import Tensor

from lightrec.errors import RecipeError, RunError
from lightrec.evaluation.base import Bars, Chart, Intervals, Table, number, spread
from lightrec.evaluation.held_out import HeldOutLog
from lightrec.evaluation.rankers import ranker_of
from lightrec.intervals import bootstrap_interval
from lightrec.ranking.metrics import RankingResult
from lightrec.ranking.scorers import by_history
from lightrec.run import Run


def ranked(run: Run, by: str, max_events: int | None, seed: int) -> RankingResult:
    """Rank a run's test events, named by users and items of the log and not by its own numbers.

    :param by: a value of ``--by`` that re-ranks nothing.
    :raises RunError: where the run has no such part.
    """
    ranker = ranker_of(run.judged, by)
    if ranker.reranks:
        raise RecipeError(f"Runs are compared by what scores all items, which the {by} does not.")
    return HeldOutLog(max_events).rank(run.data, by_history(ranker.scorer), seed)


def compared(
    results: Mapping[str, RankingResult],
    metric: str,
    seed: int = 0,
    more: Mapping[str, Mapping[str, float | None]] | None = None,
) -> tuple[Table, dict[str, dict[str, float | None]], list[Chart]]:
    """Compare rankings with the first one, user by user.

    :param more: further figures of each, by name and title, such as seconds.
    :returns: a table, the best first; by name the mean with its interval, its difference with
        interval, and p as it is and after Holm's correction; and charts of both.
    :raises RunError: where the rankings are not of the same events.
    """
    cutoff = [int(metric.partition("@")[2])]
    (base, first), *others = results.items()
    means, gaps, p = {}, {}, {}
    for name, result in results.items():
        values = result.per_event(cutoff)[metric]
        means[name] = bootstrap_interval(values, result.users, seed=seed)
    for name, result in others:
        try:
            gaps[name] = result.bootstrap(first, metric, seed=seed)
        except ValueError as reason:
            raise RunError(f"{base} and {name} cannot be compared. {reason}") from None
        p[name] = signed_ranks(by_user(result.paired(first, metric), result.users))
    corrected = dict(zip(p, holm([*p.values()]), strict=True))
    figures: dict[str, dict[str, float | None]] = {}
    rows = {}
    for name, (mean, low, high) in means.items():
        own = figures[name] = {"mean": mean, "mean_low": low, "mean_high": high}
        row = rows[name] = [name, spread(means[name], ".4f"), *[""] * 3]
        if name in gaps:
            own |= dict(zip(("difference", "low", "high"), gaps[name], strict=True))
            own |= {"p": p[name], "p_holm": corrected[name]}
            row[2:] = [spread(gaps[name], "+.4f"), f"{p[name]:.3g}", f"{corrected[name]:.3g}"]
        for title, value in (more or {}).get(name, {}).items():
            own[title] = value
            row.append(number(value))
    less = base[-30:]  # what fits into a picture of a path
    head = ["", f"{metric} (95 %)", f"less {less} (95 %)", "p (Wilcoxon)", "p (Holm)"]
    head += (more or {}).get(base, {})
    table = Table(head, sorted(rows.values(), key=lambda row: -means[row[0]].mean))
    drawn: list[Chart] = [Bars({name[-30:]: m.mean for name, m in means.items()}, metric, less)]
    if gaps:
        ordered = {row[0][-30:]: gaps[row[0]] for row in table.rows if row[0] in gaps}
        drawn.append(Intervals(ordered, f"{metric}, less that of {less} (95 %)"))
    return table, figures, drawn


def by_user(values: Tensor, users: Tensor) -> Tensor:
    """The mean of each user's values: (U,) float64."""
    owners, place = users.unique(return_inverse=True)
    sums = torch.zeros(len(owners), dtype=torch.float64).index_add_(0, place, values.double())
    return sums / place.bincount()


def signed_ranks(differences: Tensor) -> float:
    """Wilcoxon's two-sided p of differences being even about 0; 1 where all are 0."""
    if not differences.any():
        return 1.0
    return float(scipy.stats.wilcoxon(differences.numpy(), zero_method="pratt").pvalue)


def holm(values: Sequence[float]) -> list[float]:
    """Correct p values for their number (Holm 1979): the smallest times m, the next m - 1, …"""
    order = sorted(range(len(values)), key=values.__getitem__)
    found, least = [0.0] * len(values), 0.0
    for place, index in enumerate(order):
        least = max(least, min(1.0, (len(values) - place) * values[index]))
        found[index] = least
    return found
