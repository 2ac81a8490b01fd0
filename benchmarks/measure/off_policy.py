"""Off-policy estimators on logs of known truth, and on real ones.

``study`` repeats the synthetic study of Saito et al. 2021, "Open Bandit Dataset and Pipeline": a
policy learned on one log is judged by another. ``coverage`` counts how often intervals hold the
truth.
"""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import torch
from lightrec_health.readers import HealthSets
from lightrec_ope.estimators import (
    DM,
    DR,
    IPS,
    SNDR,
    SNIPS,
    BanditLog,
    Estimator,
    Verdict,
    expected_rewards,
)
from lightrec_ope.estimators.estimate import around
from lightrec_ope.estimators.models import fit_linear
from torch import Tensor

from benchmarks.measure import Cell
from lightrec.evaluation.base import keys_of

RUNS, ROUNDS, ACTIONS, DIMENSION = 20, 10_000, 30, 5
ESTIMATORS: dict[str, Estimator] = {
    "DM": DM(),
    "IPS": IPS(),
    "SNIPS": SNIPS(),
    "DR": DR(),
    "SNDR": SNDR(),
    "Switch-DR": DR(100, "switch"),
    "DRos": DR(30, "optimistic"),
}
SHARPNESS = 0.5
"""Of the logging policy's logits. The study's tables do not say how far it was from uniform, nor
where its weights were bounded: both are set so that weights are of a size like theirs."""
LOGS = 1_000
WAYS = ("student", "bootstrap")
RESAMPLES = 500
ARMS = ("Mens E-Mail", "Womens E-Mail", "No E-Mail")
LEARNED = "the best arm by segment"


def world(seed: int) -> tuple[Tensor, Tensor]:
    """Draw the coefficients of rewards and of the logging policy: (1 + F, A) each."""
    chance = torch.Generator().manual_seed(seed)

    def coefficients() -> Tensor:
        return torch.rand(DIMENSION + 1, ACTIONS, generator=chance).double() * 2 - 1

    return coefficients(), coefficients()


def drawn(
    rounds: int, truth: tuple[Tensor, Tensor], seed: int, rate: float = 1.0
) -> tuple[BanditLog, Tensor, Tensor]:
    """Draw a log; its target is uniform. Gives the expected rewards and contexts, too."""
    chance = torch.Generator().manual_seed(seed)
    context = torch.randn(rounds, DIMENSION, generator=chance).double()
    known = torch.cat([context, torch.ones(rounds, 1).double()], 1)
    logits = known @ truth[0]
    means = rate * ((logits - logits.mean()) / logits.std()).sigmoid()
    own_logits = known @ truth[1]
    behavior = (SHARPNESS * own_logits / own_logits.std()).softmax(1)
    action = behavior.multinomial(1, generator=chance).squeeze(1)
    own = means.gather(1, action[:, None]).squeeze(1)
    reward = (torch.rand(rounds, generator=chance).double() < own).double()
    propensity = behavior.gather(1, action[:, None]).squeeze(1)
    target = torch.full_like(behavior, 1 / ACTIONS)
    log = BanditLog(action, reward, target, propensity, behavior=behavior)
    return log, means, context


def learned(log: BanditLog, context: Tensor) -> tuple[Tensor, Tensor]:
    """Learn a policy: logistic regression of the actions, weighted by reward over propensity."""
    assert log.propensity is not None
    weights = log.reward / log.propensity

    def loss(logits: Tensor) -> Tensor:
        return torch.nn.functional.cross_entropy(logits, log.action, reduction="none") @ weights

    return fit_linear(context, ACTIONS, 1.0, loss)


def study(cell: Cell) -> dict[str, float]:
    """Relative errors of all estimators, means over the runs."""
    seed, errors = cell.seed, {name: list[float]() for name in ESTIMATORS}
    for run in range(RUNS):
        truth = world(seed)
        first, _, seen = drawn(ROUNDS, truth, 2 * run + 1_000 * seed)
        matrix, bias = learned(first, seen)
        log, means, context = drawn(ROUNDS, truth, 2 * run + 1 + 1_000 * seed)
        target = (context @ matrix + bias).softmax(1)
        log = expected_rewards(replace(log, target=target), context, penalty=1.0, seed=run)
        value = float((target * means).sum(1).mean())
        for name, estimator in ESTIMATORS.items():
            errors[name].append(abs(estimator(log).value - value) / value)
    return {f"{name}/error": float(np.mean(each)) for name, each in errors.items()}


def coverage(cell: Cell) -> dict[str, float]:
    """Count how often intervals of DR hold the truth, with common rewards and with rare ones."""
    counts, truth = Counter[str](), world(cell.seed)
    for name, rate in (("common", 1.0), ("rare", 0.02)):
        _, means, _ = drawn(200_000, truth, 10**6, rate)
        value = float(means.mean())
        for number in range(LOGS):
            log, means, _ = drawn(1_000, truth, number, rate)
            # A model that knows the half of it: what it misses is weighed.
            log = replace(log, expected=0.5 * means + 0.5 * means.mean())
            for way in WAYS:
                estimate = DR()(log, way, number)
                counts[f"{name}/{way}/held"] += estimate.low <= value <= estimate.high
                counts[f"{name}/weak"] += way == "student" and estimate.verdict != "usable"
    return {key: count / LOGS for key, count in counts.items()}


def resampled(
    log: BanditLog, estimators: dict[str, Estimator], rounds: int, seed: int
) -> dict[str, float]:
    """Count how often intervals on resamples of a log hold what the estimator finds on all of it.

    :param rounds: of a resample.
    """
    chance, counts = torch.Generator().manual_seed(seed), Counter[str]()
    whole = {name: estimator(log).value for name, estimator in estimators.items()}
    tables = {n: t for n, t in vars(log).items() if isinstance(t, Tensor)}
    for resample in range(RESAMPLES):
        rows = torch.randint(len(log.action), (rounds,), generator=chance)
        drawn = BanditLog(**{name: table[rows] for name, table in tables.items()})
        for name, estimator in estimators.items():
            estimate = estimator(drawn)
            counts[f"{name}/weak"] += estimate.verdict != "usable"
            for way in WAYS:
                _, low, high = around(estimate.parts, None, way, resample)
                counts[f"{name}/{way}/held"] += low <= whole[name] <= high
    return {key: count / RESAMPLES for key, count in counts.items()}


def hillstrom(cell: Cell) -> dict[str, float]:
    """Judge by resamples of the trial the spend of each arm, and of the best arm by last year's.

    The best arm for each segment of last year's spend is learned from every second row; the others
    judge it.
    """
    (path,) = (Path(cell["data"]) / "hillstrom-email").glob("*.csv")
    table = pl.read_csv(path)
    spend = table["spend"].cast(pl.Float64).to_torch()
    action = torch.tensor([ARMS.index(arm) for arm in table["treatment"].to_list()])
    third = torch.full((len(spend),), 1 / 3).double()
    arms = dict(zip(ARMS, torch.eye(len(ARMS)).double(), strict=True))
    logs = {
        arm: BanditLog(action, spend, of.expand(len(spend), -1), third) for arm, of in arms.items()
    }
    learns = table.with_row_index().filter(pl.col("index") % 2 == 0)
    means = learns.group_by("history_segment", "treatment").agg(pl.mean("spend"))
    best = dict(means.sort("spend").select("history_segment", "treatment").iter_rows())
    target = torch.stack([arms[best[segment]] for segment in table["history_segment"]])
    logs[LEARNED] = BanditLog(action[1::2], spend[1::2], target[1::2], third[1::2])
    found: dict[str, float] = {}
    for name, log in logs.items():
        found |= resampled(log, {name: SNIPS()}, 20_000, cell.seed)
    return found


def oralytics(cell: Cell) -> dict[str, float]:
    """Judge policies of prompts by a learner's own decisions, of nine people.

    The learned policy sends a prompt where ridge regressions on all others' decisions expect more
    of it; no person's own decisions are learned from to decide for that person.
    """
    path = Path(cell["data"]) / "oralytics-pilot" / "decisions.csv"
    log = HealthSets().read_log(path).events
    states = pl.read_csv(path).select(pl.selectors.starts_with("state_")).to_torch().double()
    action = (log["item"] == "prompt").to_torch().long()
    reward, propensity = log["value"].to_torch(), log["propensity"].to_torch()
    users = log["user"].cast(pl.Categorical).to_physical().to_torch().long()
    behavior = torch.stack([1 - propensity, propensity], 1)
    behavior = torch.where(action[:, None] == 1, behavior, behavior.flip(1))
    better = torch.zeros(len(log), dtype=torch.bool)
    for user in users.unique():
        inputs, goal = states[users != user], reward[users != user]
        prompted = action[users != user].unsqueeze(1)
        both = torch.cat([inputs, inputs * prompted], 1)
        penalty = torch.eye(both.shape[1]).double()
        slopes = torch.linalg.solve(both.T @ both + penalty, both.T @ goal)
        better[users == user] = states[users == user] @ slopes[inputs.shape[1] :] > 0
    never = torch.tensor([1.0, 0.0]).double().expand(len(log), 2)
    laws = {"never": never, "always": never.flip(1), "the learner's own": behavior}
    laws["learned"] = torch.where(better[:, None], never.flip(1), never)
    found, parts = {"learned/prompts": float(better.double().mean())}, {}
    for name, law in laws.items():
        given = BanditLog(action, reward, law, propensity, behavior=behavior, users=users)
        for kind, judge in {"SNIPS": SNIPS(), "DR": DR()}.items():
            made = judge(expected_rewards(given, states, seed=cell.seed))
            parts[name, kind] = made.parts
            found |= keys_of(f"{name}/{kind}", (made.value, made.low, made.high))
            found[f"{name}/{kind}/weak"] = made.verdict is Verdict.WEAK
            gap = around(made.parts - parts["never", kind], users)
            found |= keys_of(f"{name}-minus-never/{kind}", gap)
    return found


def thompson(cell: Cell) -> tuple[BanditLog, float]:
    """The uniform log of the men's campaign, its target Thompson sampling, and its click rate."""
    folder = Path(cell["data"]) / "open-bandit-small" / "obd"
    log, other = (pl.read_csv(folder / name / "men" / "men.csv") for name in ("random", "bts"))
    items = int(max(log["item_id"].max(), other["item_id"].max())) + 1
    places = torch.zeros(items, 3).double()
    rows = other.group_by("item_id", "position").len()
    places[rows["item_id"].to_torch().long(), rows["position"].to_torch().long() - 1] = (
        rows["len"].to_torch().double()
    )
    law = places / places.sum(0)
    given = BanditLog(
        log["item_id"].to_torch().long(),
        log["click"].to_torch().double(),
        law[None].expand(len(log), items, 3),
        log["propensity_score"].to_torch().double(),
        log["position"].to_torch().long() - 1,
    )
    features = torch.ones(len(log), 1).double()
    return expected_rewards(given, features, seed=cell.seed), float(other["click"].mean())


def open_bandit(cell: Cell) -> dict[str, float]:
    """Judge Thompson sampling by the uniform log, beside its own log."""
    fitted, own = thompson(cell)
    found = {"bts/own": own}
    for name in ("IPS", "SNIPS", "DR"):
        estimate = ESTIMATORS[name](fitted, "bootstrap", cell.seed)
        found |= keys_of(name, (estimate.value, estimate.low, estimate.high))
        found[f"{name}/usable"] = float(estimate.verdict == "usable")
    return found


def resampled_open_bandit(cell: Cell) -> dict[str, float]:
    """Judge Thompson sampling by resamples of the uniform log."""
    log, _ = thompson(cell)
    estimators = {name: ESTIMATORS[name] for name in ("SNIPS", "DR")}
    return resampled(log, estimators, len(log.action), cell.seed)
