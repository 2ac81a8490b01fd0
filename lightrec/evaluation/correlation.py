"""Rank correlation within sets of candidates."""

from scipy.stats import rankdata
from torch import Tensor


def spearman_within_sets(score: Tensor, truth: Tensor) -> float:
    """Give the mean over sets of Spearman's correlation; equal values share their mean rank.

    :param score: ``(S, C)``: one set of C candidates a row.
    :param truth: ``(S, C)``.
    :returns: the mean over sets in which both vary; 0 where there is none.
    """
    ranks = [rankdata(x.double().numpy(), axis=1) for x in (score, truth)]
    left, right = (r - r.mean(1, keepdims=True) for r in ranks)
    scale = ((left**2).sum(1) * (right**2).sum(1)) ** 0.5
    varied = scale > 0
    if not varied.any():
        return 0.0
    return float(((left * right).sum(1)[varied] / scale[varied]).mean())
