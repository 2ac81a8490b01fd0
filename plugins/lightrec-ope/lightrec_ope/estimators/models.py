"""The model of what a log lacks: expected rewards of all actions.

It is cross-fitted by user: what it says of a round it has learned from other users, so that its
errors do not hide in the estimate (Chernozhukov et al. 2018).
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss, one_hot

from lightrec.errors import DataError
from lightrec_ope.estimators.bandit import BanditLog
from lightrec_ope.estimators.estimate import independent

FOLDS: Final = 3
"""Parts of the users, each of which is judged by a model of the others."""


def expected_rewards(
    log: BanditLog, features: Tensor, penalty: float = 1.0, seed: int = 0
) -> BanditLog:
    """Fit the expected reward of every action in every round: linear, or logistic for 0 and 1.

    :param features: (n, F) of rounds.
    :param penalty: half of it times the square of the coefficients is added to the loss's sum.
    :param seed: of the folds.
    :returns: the log with ``expected`` (n, A, P).
    :raises DataError: where a feature is infinite or no number, or there is one user alone.
    """
    count = log.target.shape[1]
    places = 1 if log.position is None else int(log.position.max()) + 1
    place = torch.zeros_like(log.action) if log.position is None else log.position
    parts = features, one_hot(log.action, count), one_hot(place, places)
    inputs = torch.cat([part.double() for part in parts], 1)
    if not bool(inputs.isfinite().all()):
        raise DataError("Some features are not finite: fill them in before a model reads them.")
    expected = torch.zeros(len(inputs), count, places, dtype=torch.float64)
    loss = binary_cross_entropy_with_logits if log.is_binary else mse_loss
    for train, rest in by_user(log.users, len(inputs), seed):
        goal = log.reward[train].double()

        def missed(out: Tensor, goal: Tensor = goal) -> Tensor:
            return loss(out.squeeze(1), goal, reduction="sum")

        matrix, bias = fit_linear(inputs[train], 1, penalty, missed)
        slope, each, where = matrix.split([features.shape[1], count, places])
        table = (features.double()[rest] @ slope)[:, None] + each[None] + bias + where.T[None]
        expected[rest] = table.sigmoid() if log.is_binary else table
    return replace(log, expected=expected)


def by_user(users: Tensor | None, rows: int, seed: int) -> list[tuple[Tensor, Tensor]]:
    """Folds of whole users: the numbers of all other rows, and those of each fold.

    :param users: (n,) int64, whose rows depend on each other; None where all are independent.
    :param rows: n.
    :raises DataError: where there is one user alone.
    """
    units = independent(users, rows)
    count = int(units.max()) + 1
    if count < 2:
        raise DataError(
            "All rounds of the log are one user's, and a model that an estimate reads must have "
            "learned from other users. Take a log of several, or an estimator without a model."
        )
    place = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).argsort()
    fold = place[units] % FOLDS
    folds = (fold == number for number in range(min(FOLDS, count)))
    return [((~rows).nonzero()[:, 0], rows.nonzero()[:, 0]) for rows in folds]


def fit_linear(
    inputs: Tensor, size: int, penalty: float, loss: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Fit a linear map (F, size) and its bias (size,)."""
    matrix = nn.Parameter(torch.zeros(inputs.shape[1], size, dtype=torch.float64))
    bias = nn.Parameter(torch.zeros(size, dtype=torch.float64))

    optimizer = torch.optim.LBFGS(
        [matrix, bias], max_iter=200, history_size=20, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(inputs @ matrix + bias) + penalty / 2 * matrix.square().sum()
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(closure)
    return matrix.detach(), bias.detach()
