"""Which estimator errs least on logs like the one at hand: a study in a world fitted to the log.

What a policy would really have earned, a log does not say. A model of the log does: here it is
taken for the truth, logs are drawn from it, and what each estimator finds in these is set beside
the truth.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from lightrec.errors import DataError
from lightrec.progress import progress_bar
from lightrec_ope.estimators.bandit import BanditLog
from lightrec_ope.estimators.estimate import (
    Estimate,
    IntervalName,
    Verdict,
    effective_size,
    needed,
    unusable,
)
from lightrec_ope.estimators.models import finite, minimize

LOGS: Final = 200
"""Number of logs drawn: standard errors are then a fourteenth of the deviations shown."""
HELD: Final = 0.8
"""Share of logs in which intervals of 95 % should hold the truth at least: 30 of 200 logs fewer
than they promise."""
Refit = Callable[[BanditLog, Tensor, int], BanditLog]
"""Fits to a drawn log what estimators read of models; gets the numbers (n,) of its rounds in the
world, and a seed."""
Judge = Callable[[BanditLog, IntervalName, int], Estimate]
"""An estimator, or what chooses one; gets the seed of its interval."""


@dataclass(frozen=True)
class Errors:
    """How an estimator errs over the logs of a world, in the unit of the reward.

    :param bias: the mean of what it finds, less the truth.
    :param deviation: the standard deviation of what it finds.
    :param covered: the share of logs whose interval holds the truth.
    :param unusable: the share of logs of which it says that they cannot tell.
    """

    bias: float
    deviation: float
    covered: float
    unusable: float

    @classmethod
    def of(cls, estimates: list[Estimate], truth: float) -> "Errors":
        """Those of estimates whose truth is known."""
        values = torch.tensor([each.value for each in estimates], dtype=torch.float64)
        covered = sum(each.low <= truth <= each.high for each in estimates)
        lost = sum(each.verdict is Verdict.UNUSABLE for each in estimates)
        bias, deviation = float(values.mean()) - truth, float(values.std(correction=0))
        return cls(bias, deviation, covered / len(estimates), lost / len(estimates))

    @property
    def rmse(self) -> float:
        """Root of the mean squared error."""
        return (self.bias**2 + self.deviation**2) ** 0.5


@dataclass(frozen=True)
class Study:
    """The errors of estimators in a world fitted to a log.

    :param truth: the target's value in the world.
    :param errors: by estimator, the least RMSE first.
    :param left_out: estimators that some log made fail, with the reason.
    :param effective: effective rounds of the log's weights, and of those drawn in the mean; None
        where the log has no propensities. Far apart, the world is unlike the log.
    """

    truth: float
    errors: Mapping[str, Errors]
    left_out: Mapping[str, str]
    effective: tuple[float, float] | None

    @property
    def best(self) -> str | None:
        """The estimator of least RMSE, of those that can tell in most logs; None without one.

        One whose intervals miss the truth is none.
        """
        can = (n for n, x in self.errors.items() if x.unusable < 0.5 and n not in self.missing)
        return next(can, None)

    @property
    def missing(self) -> dict[str, Errors]:
        """The estimators whose intervals hold the truth in fewer than ``HELD`` of the logs."""
        return {name: each for name, each in self.errors.items() if each.covered < HELD}


def fitted_world(log: BanditLog, features: Tensor, offered: Tensor | None = None) -> BanditLog:
    """Fit a world to a log: the law of what is shown, and what each action brings.

    Both are logistic, or linear for rewards that are not only 0 and 1, with an intercept for each
    action, shrunk to that of all. They should know more than the model that estimators read, which
    is flattered otherwise. The law of what is shown is fitted to the propensities where they are
    known, and to what was shown where they are not; a ``behavior`` that the log has is kept. What
    the log never shows, the world does not.

    :param features: (n, F) of rounds, with slopes for each action; or (n, A, F) of rounds and
        actions, with slopes for all.
    :param offered: (n, A) bool, what could be shown; None for everything.
    :returns: the log with ``behavior`` and ``expected``, (n, A) each, and without positions.
    """
    count, rounds, reward = log.target.shape[1], torch.arange(len(log.action)), log.reward.double()
    inputs = finite(features.double())
    slopes = (inputs.shape[-1], count) if inputs.ndim == 2 else (inputs.shape[-1],)

    def table(loss: Callable[[Tensor], Tensor]) -> Tensor:
        base, each, slope = (
            nn.Parameter(torch.zeros(size, dtype=torch.float64))
            for size in ((1,), (count,), slopes)
        )

        def whole() -> Tensor:
            size = each.square().sum() + slope.square().sum()
            return loss(base + each + inputs @ slope) + size / 2

        minimize([base, each, slope], whole)
        return (base + each + inputs @ slope).detach()

    of_reward = binary_cross_entropy_with_logits if log.is_binary else mse_loss
    expected = table(lambda t: of_reward(t[rounds, log.action], reward, reduction="sum"))
    if log.behavior is None:
        can = (torch.bincount(log.action, minlength=count) > 0).expand(len(rounds), count)
        can = can if offered is None else can & offered
        likely = log.propensity

        def law(t: Tensor) -> Tensor:
            return t.masked_fill(~can, -torch.inf).log_softmax(1)

        def unlike(t: Tensor) -> Tensor:
            logs = law(t)[rounds, log.action]
            # Propensities that are known say of a round's law more than the one draw from it.
            return -logs.sum() if likely is None else (logs - likely.double().log()).square().sum()

        behavior = law(table(unlike)).exp()
    else:
        behavior = log.along(log.behavior)
    return replace(
        log,
        target=log.along(log.target),
        behavior=behavior,
        expected=expected.sigmoid() if log.is_binary else expected,
        position=None,
    )


def study(
    world: BanditLog,
    estimators: Mapping[str, Judge],
    refit: Refit,
    interval: IntervalName = "student",
    logs: int = LOGS,
    seed: int = 0,
) -> Study:
    """Set what estimators find in logs drawn from a world beside its truth.

    Each drawn log has as many rounds, drawn with replacement from the world's, or as many users
    with all their rounds; what is shown and what it brings are drawn anew. A progress bar counts.

    :param world: with ``behavior`` and ``expected``, which are the truth, as of
        :func:`fitted_world`; with one position.
    :param estimators: by name.
    :param refit: such as ``lambda log, rows, seed: expected_rewards(log, features[rows])``.
    :param interval: of the estimates.
    :param logs: drawn.
    :param seed: of all chance.
    :raises DataError: where the world lacks its truth.
    """
    _, expected = needed(world, "behavior", "expected")
    truth = float((world.along(world.target) * world.along(expected)).sum(1).mean())
    chance = torch.Generator().manual_seed(seed)
    estimates: dict[str, list[Estimate]] = {name: [] for name in estimators}
    left_out: dict[str, str] = {}
    sizes = []
    with progress_bar(logs, "log", desc="Study") as bar:
        for number in range(logs):
            drawn, rows = _drawn(world, chance)
            drawn = refit(drawn, rows, seed + number)
            if drawn.propensity is not None:
                sizes.append(effective_size(drawn.weights))
            for name, estimator in estimators.items():
                try:
                    estimates[name].append(estimator(drawn, interval, seed + number))
                except DataError as error:
                    left_out[name] = str(error)
            bar.update()
    errors = {name: Errors.of(x, truth) for name, x in estimates.items() if name not in left_out}
    errors = dict(sorted(errors.items(), key=lambda pair: pair[1].rmse))
    both = None
    if world.propensity is not None and sizes:
        both = effective_size(world.weights), sum(sizes) / len(sizes)
    return Study(truth, errors, left_out, both)


def believed(estimates: Mapping[str, Estimate], whole: Study | None) -> dict[str, Estimate]:
    """Take back the estimates whose intervals held the truth too seldom in a study's logs."""
    why = {
        name: f"in the study {each.covered:.0%} of its intervals held the truth"
        for name, each in (whole.missing if whole else {}).items()
    }
    return {name: unusable(x, why[name]) if name in why else x for name, x in estimates.items()}


def verdict(estimates: Mapping[str, Estimate], whole: Study | None) -> str:
    """Say what stands above all numbers: which of them are not to be believed; empty for none.

    :param estimates: of :func:`believed`; what was shown stands under ``log``.
    """
    said = []
    if whole is not None and whole.missing:
        names = ", ".join(f"{name} ({each.covered:.0%})" for name, each in whole.missing.items())
        said.append(
            f"NOT TO BE BELIEVED: in a world like this log, fewer than {HELD:.0%} of the intervals "
            f"hold the truth, and 95% should: {names}."
        )
    if all(each.verdict is Verdict.UNUSABLE for name, each in estimates.items() if name != "log"):
        said.append("THIS LOG CANNOT TELL what would be earned: no estimate can be believed.")
    return "\n".join(said)


def _drawn(world: BanditLog, chance: torch.Generator) -> tuple[BanditLog, Tensor]:
    """Draw a log from a world, and the numbers of its rounds."""
    rows, users = _resampled(len(world.action), world.users, chance)
    behavior, expected = (table[rows] for table in needed(world, "behavior", "expected"))
    action = behavior.multinomial(1, generator=chance)
    mean = expected.gather(1, action).squeeze(1).double()
    if world.is_binary:
        reward = (torch.rand(len(rows), generator=chance, dtype=torch.float64) < mean).double()
    else:
        missed = world.reward.double() - world.of_shown(needed(world, "expected")[0])
        reward = mean + missed[torch.randint(len(missed), (len(rows),), generator=chance)]
    likely = behavior.gather(1, action).squeeze(1)
    drawn = replace(
        world,
        action=action.squeeze(1),
        reward=reward,
        target=world.target[rows],
        propensity=None if world.propensity is None else likely,
        behavior=behavior,
        expected=None,
        users=users,
    )
    return drawn, rows


def _resampled(
    count: int, users: Tensor | None, chance: torch.Generator
) -> tuple[Tensor, Tensor | None]:
    """Draw rounds, or users with all of theirs; whoever is drawn twice is two users."""
    if users is None:
        return torch.randint(count, (count,), generator=chance), None
    place = users.unique(return_inverse=True)[1]
    order, sizes = place.argsort(stable=True), place.bincount()
    begins = sizes.cumsum(0) - sizes
    who = torch.randint(len(sizes), (len(sizes),), generator=chance)
    owner = torch.arange(len(who)).repeat_interleave(sizes[who])
    within = torch.arange(len(owner)) - (sizes[who].cumsum(0) - sizes[who])[owner]
    return order[begins[who][owner] + within], owner
