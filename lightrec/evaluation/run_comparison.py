"""Runs beside each other on the same held-out events, with paired tests by user."""

from collections.abc import Mapping, Sequence

import scipy
import torch
from torch import Tensor

from lightrec.errors import RunError
from lightrec.evaluation.base import Table, spread
from lightrec.evaluation.held_out import HeldOutLog, by_history
from lightrec.intervals import Interval
from lightrec.policies.base import Policy
from lightrec.ranking.blend import Blend
from lightrec.ranking.metrics import RankingResult
from lightrec.ranking.scorers import ItemScorer
from lightrec.run import Run


def ranked(run: Run, by: str, max_events: int | None, seed: int) -> RankingResult:
    """Rank a run's test events, named by users and items of the log and not by its own numbers.

    :param by: ``blend``, ``ranker`` or ``policy``.
    :raises RunError: where the run has no such part.
    """
    part: ItemScorer | Policy = run.policy if by == "policy" else run.blend
    scorer = by_history(Blend(run.ranker) if by == "ranker" else part)
    return HeldOutLog(max_events).rank(run.data, scorer, seed)


def compared(
    results: Mapping[str, RankingResult], metric: str, seed: int = 0
) -> tuple[Table, dict[str, dict[str, float]]]:
    """Compare rankings with the first one, user by user.

    :returns: a table, and by name the mean, its difference with interval, and p as it is and after
        Holm's correction.
    :raises RunError: where the rankings are not of the same events.
    """
    cutoff = [int(metric.partition("@")[2])]
    (base, first), *others = results.items()
    figures = {base: {"mean": float(first.per_event(cutoff)[metric].mean())}}
    for name, result in others:
        try:
            gap = result.bootstrap(first, metric, seed=seed)
        except ValueError as reason:
            raise RunError(f"{base} and {name} cannot be compared. {reason}") from None
        figures[name] = {
            "mean": float(result.per_event(cutoff)[metric].mean()),
            "difference": gap.mean,
            "low": gap.low,
            "high": gap.high,
            "p": signed_ranks(by_user(result.paired(first, metric), result.users)),
        }
    names = [name for name, _ in others]
    for name, p in zip(names, holm([figures[name]["p"] for name in names]), strict=True):
        figures[name]["p_holm"] = p
    rows = [[base, f"{figures[base]['mean']:.4f}", "", "", ""]]
    for name in names:
        own = figures[name]
        gap = Interval(own["difference"], own["low"], own["high"])
        shown = [
            f"{own['mean']:.4f}",
            spread(gap, "+.4f"),
            f"{own['p']:.3g}",
            f"{own['p_holm']:.3g}",
        ]
        rows.append([name, *shown])
    head = ["run", metric, "less the first (95 %)", "p (Wilcoxon)", "p (Holm)"]
    return Table(head, rows), figures


def by_user(values: Tensor, users: Tensor) -> Tensor:
    """Give the mean of each user's values: (U,) float64."""
    owners, place = users.unique(return_inverse=True)
    sums = torch.zeros(len(owners), dtype=torch.float64).index_add_(0, place, values.double())
    return sums / place.bincount()


def signed_ranks(differences: Tensor) -> float:
    """Give Wilcoxon's two-sided p of differences being even about 0; 1 where all are 0."""
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
