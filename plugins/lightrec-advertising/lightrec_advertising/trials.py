"""The value of a policy by a randomised trial, without a model."""

import torch
from torch import Tensor

from lightrec.intervals import Interval, mean_interval


def weighted(chosen: Tensor, shown: Tensor, rewards: Tensor, propensity: float) -> Tensor:
    """Weigh each person's reward by inverse propensity (Horvitz and Thompson 1952).

    The mean of what this gives is an unbiased estimate of the policy's reward a person, where the
    policy did not learn from these persons and each arm was shown with the same probability.

    :param chosen: (P,) int64 the arm that the policy would have shown.
    :param shown: (P,) int64 the arm that was shown, by chance.
    :param rewards: (P,) what came of it.
    :param propensity: of each arm.
    :returns: (P,) float64: r / p where the policy agrees with chance, else 0.
    """
    return torch.where(chosen == shown, rewards.double() / propensity, 0.0)


def policy_value(
    chosen: Tensor,
    shown: Tensor,
    rewards: Tensor,
    propensity: float,
    against: Tensor | None = None,
) -> Interval:
    """Give a policy's reward a person with its 95 % interval; arguments as of :func:`weighted`.

    :param against: (P,) the arms of another policy, whose value is subtracted person by person.
    """
    values = weighted(chosen, shown, rewards, propensity)
    if against is not None:
        values = values - weighted(against, shown, rewards, propensity)
    return mean_interval(values)
