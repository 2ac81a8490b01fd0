"""Logs of whole sessions in worlds of known truth, and what estimators make of them.

``exposure`` is the tabular twin of the world ``LongTermSatisfaction``: values are exact. ``greed``
is the world ``Greed`` with ten items, played as policies are judged: values are means over very
many sessions, and satisfaction, which decides who leaves, is hidden from policy and estimator; what
stands in for it is estimated from the log (:func:`satisfied`). ``coverage`` has states of many
features, and counts how often intervals hold the truth.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from lightrec_ope.estimators import (
    Marginalized,
    PerDecisionIPS,
    SequenceLog,
    SequentialDM,
    SequentialDR,
    TrajectoryIPS,
    fitted_values,
)
from lightrec_worlds.greed import Greed
from lightrec_worlds.long_term_satisfaction import LongTermSatisfaction
from tensordict import TensorDictBase
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, one_hot

from lightrec.keys import Key
from lightrec.policies.base import ScoredPolicy
from lightrec.simulators.rollout import play

SIZES = (500, 2_000, 8_000, 20_000)
STEPS = 10
MANY = 200_000
"""Sessions that give the true value of a policy in `greed`."""
AT_ONCE = 2_000
ESTIMATORS = {
    "whole sessions": TrajectoryIPS(),
    "per decision": PerDecisionIPS(),
    "per decision, weighted": PerDecisionIPS(normalized=True),
    "doubly robust": SequentialDR(),
    "doubly robust, weighted": SequentialDR(normalized=True),
    "marginalised": Marginalized(),
    "marginalised, weighted": Marginalized(normalized=True),
    "fitted Q evaluation": SequentialDM(),
}
ROBUST = ("doubly robust", "doubly robust, weighted")


class Logged(NamedTuple):
    """Sessions that a behavior policy showed, N of T steps, and what policies do in them.

    :param log: of which the target is the behavior policy itself.
    :param targets: (N, T, A) by name, the laws of the policies that are judged.
    :param features: (N, T, F) that fitted Q evaluation reads.
    """

    log: SequenceLog
    targets: dict[str, Tensor]
    features: Tensor


# --- exposure ---------------------------------------------------------------------------------

SCORES = torch.tensor([0, 12, 24, 37, 49])
"""The twin's actions that are shown: documents from kale to chocolate."""
LUMP = 10
"""So many neighbouring states of the twin are one to the marginalised estimators."""
TASTES = {
    "much chocolate": (0.8, 0.0),
    "some, as exposure allows": (0.5, 0.5),
    "as exposure allows": (0.0, 0.5),
    "some kale": (-0.3, 0.0),
    "much kale": (-0.6, 0.0),
}
"""How much the logits of policies rise with an action's chocolate, and with it times exposure."""


def twin() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Give rewards (S, A), the next state's law (S, A, S), the first one's, and exposures (S,)."""
    world = LongTermSatisfaction(1, sensitivity=0.3)
    reward, following = world.twin()
    return reward[:, SCORES], following[:, SCORES], world.initial(), world._grid


def law(grid: Tensor, chocolate: float, exposure: float) -> Tensor:
    """Give a policy's law in each state, (S, A)."""
    amount = torch.linspace(-1, 1, len(SCORES), dtype=torch.float64)
    return ((chocolate + exposure * grid[:, None]) * amount).softmax(1)


def exposure_truth() -> dict[str, float]:
    """Give the exact values of the policies, by dynamic programming."""
    reward, following, initial, grid = twin()
    found = {}
    for name, taste in TASTES.items():
        own, value = law(grid, *taste), torch.zeros(len(grid)).double()
        for _ in range(STEPS):
            value = (own * (reward + following @ value)).sum(1)
        found[name] = float(initial @ value)
    return found


def exposure(seed: int, sessions: int) -> Logged:
    """Log sessions of a policy that likes chocolate a little; rewards are log-normal."""
    reward, following, initial, grid = twin()
    chance = torch.Generator().manual_seed(seed)
    behavior = law(grid, 0.2, 0.0)
    state = initial.expand(sessions, -1).multinomial(1, generator=chance).squeeze(1)
    steps = []
    for _ in range(STEPS):
        action = behavior[state].multinomial(1, generator=chance).squeeze(1)
        noise = torch.randn(sessions, generator=chance).double()
        steps.append((state, action, reward[state, action] * (noise - 0.5).exp()))
        state = following[state, action].multinomial(1, generator=chance).squeeze(1)
    states, actions, rewards = (torch.stack(part, 1) for part in zip(*steps, strict=True))
    log = SequenceLog(
        actions,
        rewards,
        behavior[states],
        behavior[states, actions],
        state=states // LUMP,
    )
    place = grid[states]
    features = torch.stack([place, place.square(), place.pow(3)], 2)
    return Logged(log, {n: law(grid, *taste)[states] for n, taste in TASTES.items()}, features)


# --- greed ------------------------------------------------------------------------------------

ITEMS = 10
LIKINGS = {
    "random": (0.0, 0.0),
    "bait": (0.7, 0.0),
    "bait and quality": (0.5, 1.0),
    "quality": (0.0, 1.5),
    "taste and quality": (0.5, 2.0),
}
"""How much the logits of policies rise with an item's attraction, and with its quality."""


class Liking(ScoredPolicy):
    """Scores items by what they attract with, and by their quality; never shows the first ones."""

    def __init__(self, world: Greed, attraction: float, quality: float, hidden: int = 0) -> None:
        super().__init__(world.num_items)
        self.world, self.attraction, self.quality = world, attraction, quality
        self.hidden = hidden

    def attractions(self, observation: Tensor) -> Tensor:
        """Give the attraction of the items that are shown, (..., 11), by what is seen of a user."""
        direction, bait = self.world.direction[: ITEMS + 1], self.world.bait[: ITEMS + 1]
        liked, sated = observation[..., :16] @ direction.T, observation[..., 16:32] @ direction.T
        return 4 * liked + 1.5 * bait - 2 - 3 * sated.clamp_min(0)

    def scores_of(self, observation: Tensor) -> Tensor:
        """Give the logits of these items, (..., 11)."""
        quality = self.world.quality[: ITEMS + 1]
        scores = self.attraction * self.attractions(observation) + self.quality * quality
        return scores.masked_fill(torch.arange(ITEMS + 1) <= self.hidden, -torch.inf)

    def law(self, observation: Tensor) -> Tensor:
        """Give the law of the ten items, (..., 10) float64."""
        return self.scores_of(observation)[..., 1:].double().softmax(-1)

    def logits(self, state: TensorDictBase) -> Tensor:
        """Give the logits of the candidates."""
        return self.scores_of(state[Key.OBSERVATION]).gather(1, state[Key.CANDIDATES])


def greed_world(sessions: int) -> Greed:
    """Give the world, in which ten items of ten topics are shown again and again."""
    items = torch.arange(1, ITEMS + 1)
    return Greed(sessions, candidates=items, offer_size=ITEMS, repeats=True, max_steps=STEPS)


def greed_truth() -> dict[str, float]:
    """Give the mean clicks of a session under each policy."""
    world, found = greed_world(AT_ONCE), {}
    for name, liking in LIKINGS.items():
        torch.manual_seed(1)
        rounds = [
            play(
                Liking(world, *liking), world, torch.arange(AT_ONCE), 10**6 + k, deterministic=False
            )
            for k in range(MANY // AT_ONCE)
        ]
        found[name] = float(torch.stack([played.reward.mean() for played, _ in rounds]).mean())
    return found


def greed(seed: int, sessions: int, hidden: int = 0) -> Logged:
    """Log sessions of a policy near to random, which may never show the first items."""
    world, steps = greed_world(sessions), []

    def record(state: TensorDictBase, following: TensorDictBase, alive: Tensor) -> None:
        steps.append(
            (
                state[Key.OBSERVATION],
                state[Key.ACTION].squeeze(1) - 1,
                state[Key.LOG_PROBABILITY].double().exp(),
                following["reward"].squeeze(1).double() * alive,
                alive,
            )
        )

    torch.manual_seed(seed)
    policy = Liking(world, 0.2, 0.3, hidden)
    play(policy, world, torch.arange(sessions), seed, deterministic=False, record=record)
    seen, action, propensity, reward, there = (
        torch.stack(part, 1) for part in zip(*steps, strict=True)
    )
    quality = world.quality[action + 1].double()
    pleased = satisfied(quality, reward, there)
    attractions = policy.attractions(seen)[..., 1:].double()
    last = torch.cat([torch.full_like(action[:, :1], ITEMS), action[:, :-1]], 1)
    bins = torch.bucketize(pleased, pleased[there].quantile(torch.arange(1, 7).double() / 7))
    state = bins * (ITEMS + 1) + last
    log = SequenceLog(action, reward, policy.law(seen), propensity, there, state=state)
    targets = {name: Liking(world, *each).law(seen) for name, each in LIKINGS.items()}
    features = torch.cat([attractions.sigmoid(), pleased[..., None], pleased[..., None] ** 2], 2)
    return Logged(log, targets, features)


FADING = torch.linspace(0, 1, 21, dtype=torch.float64)
"""What a step may leave of satisfaction: one of these is chosen by the log."""
ROUNDS = 10
"""Of Newton's method, from zero."""


def satisfied(quality: Tensor, clicked: Tensor, there: Tensor) -> Tensor:
    """Estimate from a log what its users' clicks have done to their satisfaction, (N, T).

    Who leaves after a step is regressed on the qualities of what was clicked so far and on steps
    without a click, both fading; the part that a step leaves is the likeliest. No constant of the
    world is read.

    :param quality: (N, T) of the items shown.
    :param clicked: (N, T), 1 or 0.
    :param there: (N, T) bool: which steps there were.
    """
    known = there[:, :-1]  # whether the last step was somebody's last is not known
    leaves = (known & ~there[:, 1:])[known].double()
    best, likeliest = torch.zeros_like(quality), -torch.inf
    for fading in FADING:
        sums = torch.zeros(*quality.shape, 3, dtype=torch.float64)  # before each step
        sums[..., 0] = 1
        for step in range(1, quality.shape[1]):
            click = clicked[:, step - 1]
            news = torch.stack([quality[:, step - 1] * click, 1 - click], 1)
            sums[:, step, 1:] = fading * sums[:, step - 1, 1:] + news
        rows, weights = sums[:, 1:][known], torch.zeros(3, dtype=torch.float64)
        for _ in range(ROUNDS):
            chance = (rows @ weights).sigmoid()
            hessian = rows.T @ (rows * (chance * (1 - chance)).unsqueeze(1))
            ridge = 1e-6 * torch.eye(3, dtype=torch.float64)
            weights = weights + torch.linalg.solve(hessian + ridge, rows.T @ (leaves - chance))
        likelihood = float(-binary_cross_entropy_with_logits(rows @ weights, leaves))
        if likelihood > likeliest:
            best, likeliest = -(sums[..., 1:] @ weights[1:]), likelihood
    return best


# --- many features ----------------------------------------------------------------------------

WIDTHS = (60, 90)
"""Features of a state, of which two count."""
LOGS, SESSIONS, LENGTH, ACTIONS = 200, 400, 4, 5
WORTH = torch.linspace(0, 1, ACTIONS, dtype=torch.float64)


def wide(
    width: int, seed: int, sessions: int = SESSIONS, own: bool = False
) -> tuple[SequenceLog, Tensor]:
    """Log sessions whose states have many features: Gaussian numbers that change slowly.

    :param own: whether the policy that is judged shows, and not the uniform one.
    :returns: the log, and its features.
    """
    chance = torch.Generator().manual_seed(seed)
    state = torch.randn(sessions, width, generator=chance, dtype=torch.float64)
    uniform, steps = torch.full((sessions, ACTIONS), 1 / ACTIONS, dtype=torch.float64), []
    for _ in range(LENGTH):
        target = ((0.2 * state[:, :1] + 0.3) * WORTH).softmax(1)
        action = (target if own else uniform).multinomial(1, generator=chance).squeeze(1)
        noise = torch.randn(sessions, generator=chance, dtype=torch.float64)
        reward = 0.5 * state[:, 1] + WORTH[action] * (0.5 + 0.5 * state[:, 0]) + noise
        steps.append((action, reward, target, uniform[:, 0], state))
        fresh = torch.randn(state.shape, generator=chance, dtype=torch.float64)
        state = 0.7 * state + 0.51**0.5 * fresh
        state[:, 1] += 0.3 * WORTH[action]
    *parts, states = (torch.stack(part, 1) for part in zip(*steps, strict=True))
    return SequenceLog(*parts), states


def coverage(
    width: int, logs: int = LOGS, sessions: int = SESSIONS, many: int = 10**6
) -> dict[str, float]:
    """Count how often intervals of doubly robust estimates hold the truth.

    Values are fitted anew to each log, to three folds of its users or to all of it at once.

    :param many: sessions that give the true value.
    """
    truth = float(wide(2, 10**6, many, own=True)[0].reward.sum(1).mean())
    found = dict.fromkeys((f"{name}/{folds}" for folds in (1, 3) for name in ROBUST), 0.0)
    for seed in range(logs):
        log, states = wide(width, seed, sessions)
        for folds in (1, 3):
            fitted = fitted_values(log, states, folds=folds)
            for name in ROBUST:
                estimate = ESTIMATORS[name](fitted)
                found[f"{name}/{folds}"] += (estimate.low <= truth <= estimate.high) / logs
    return found


# --- measuring --------------------------------------------------------------------------------

WORLDS = {"exposure": exposure, "greed": greed}
TRUTHS = {"exposure": exposure_truth, "greed": greed_truth}


def estimates(world: str, seed: int) -> dict[str, float | str]:
    """Judge all policies by all estimators from logs of all sizes, each drawn for itself."""
    found = dict[str, float | str]()
    for sessions in SIZES:
        logged = WORLDS[world](seed, sessions)
        for policy in logged.targets:
            log = replace(logged.log, target=logged.targets[policy])
            log = fitted_values(log, logged.features)
            for name, estimator in ESTIMATORS.items():
                estimate = estimator(log)
                key = f"{policy}/{sessions}/{name}"
                found[f"{key}/value"] = round(estimate.value, 5)
                if sessions == SIZES[-1]:
                    found[f"{key}/half"] = round(estimate.high - estimate.value, 5)
                    found[f"{key}/verdict"] = str(estimate.verdict)
    return found


def blind(seed: int) -> dict[str, str]:
    """Judge policies that show three items, always or in part, which the log's never does."""
    logged, found = greed(seed, 8_000, hidden=3), dict[str, str]()
    third = one_hot(torch.arange(3), ITEMS).sum(0).double() / 3
    for part in (1.0, 0.3):
        target = part * third + (1 - part) * logged.log.target
        log = fitted_values(replace(logged.log, target=target), logged.features)
        for name, estimator in ESTIMATORS.items():
            found[f"{part:.0%}/{name}"] = str(estimator(log))
    return found


def main() -> None:
    """Measure what the line names, and write ``metrics.json``."""
    what, seed, out = sys.argv[1:]
    torch.set_num_threads(1)
    world, _, part = what.partition("/")
    found: Mapping[str, float | str]
    if world == "blind":
        found = blind(int(seed))
    elif world == "coverage":
        found = coverage(int(part))
    else:
        found = TRUTHS[world]() if part == "truth" else estimates(world, int(seed))
    Path(out).joinpath("metrics.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
