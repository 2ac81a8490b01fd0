"""Which of several settings of an estimator to take, from the log at hand."""

from collections.abc import Sequence

from lightrec_ope.estimators.estimate import Estimate, Estimator, L


def slope(estimators: Sequence[Estimator[L]], log: L) -> tuple[Estimator[L], Estimate]:
    """Take the least varying estimator whose interval agrees with all that are less biased.

    SLOPE (Su et al. 2020, "Adaptive estimator selection for off-policy evaluation", with the
    constants of Tucker and Lee 2021): with half widths c of the intervals, the estimators stand in
    falling order of c. The last one is taken for which, with all j before it,
    ``abs(θ_i - θ_j) <= c_i + (√6 - 1) · c_j``.

    :param estimators: such as ``[IPS(at) for at in (5, 50, None)]``, of which a narrower interval
        comes with more bias.
    :returns: the estimator, and what it finds.
    """
    found = [(each(log), each) for each in estimators]
    found.sort(key=lambda pair: pair[0].high - pair[0].low, reverse=True)
    halves = [(estimate.high - estimate.low) / 2 for estimate, _ in found]
    best = 0
    for i in range(len(found)):
        near = [
            abs(found[i][0].value - found[j][0].value) <= halves[i] + (6**0.5 - 1) * halves[j]
            for j in range(i)
        ]
        if not all(near):
            break
        best = i
    estimate, estimator = found[best]
    return estimator, estimate
