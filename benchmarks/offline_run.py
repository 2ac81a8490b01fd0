"""One seed of policies learned from a log in the world `greed`, and what estimators say of them.

The log, training and judging are those of the recipe `worlds/offline`. Estimators see other
sessions of the same behavior policy, and judge what a policy scores highest, which is what is
shown. Two columns are enough for them: the item that was logged, and any other.
"""

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

import torch
from lightrec_ope.estimators import (
    PerDecisionIPS,
    SequenceLog,
    SequentialDM,
    SequentialDR,
)
from lightrec_worlds.greed import Greed
from lightrec_worlds.playing import even_chance
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from benchmarks.policies.learner_worlds import at_seed
from lightrec.keys import Key
from lightrec.learners.transitions import PACKED, unpack
from lightrec.learners.world_data import WorldData
from lightrec.policies.base import LearnedPolicy
from lightrec.simulators.rollout import Contender, play
from lightrec.simulators.world import Scored
from lightrec.stages import recipes
from lightrec.stages.stage import Stage
from lightrec.stages.train import train

SESSIONS = 2048
"""In which policies are truly judged."""
HELD_OUT = 5_000
"""Logged sessions that estimators see, of a seed that no training has."""
AT_ONCE = 4096
STEPS = 40
PENALTY = 1.0
DECAYS = (0.9,)
"""What a step leaves of what is remembered: the world's own constant, which no log tells."""
ESTIMATORS = {
    "fitted Q evaluation": SequentialDM(),
    "doubly robust, weighted": SequentialDR(normalized=True),
    "per decision, weighted": PerDecisionIPS(normalized=True),
}
OFFLINE = (
    *("bc", "reward-weighted", "return-conditioned", "reinforce-top-k"),
    *("cql", "iql", "snqn", "sa2c"),
)
"""Losses of the learners, in the order of the tables."""
OWN = {
    "return-conditioned": ("--model.init_args.n_step", str(STEPS)),
    "reinforce-top-k": ("--model.init_args.loss_settings", '{"top_k": 1}'),
}
"""What a learner's recipe sets otherwise."""
LAWS = ("bc", "iql")
"""Learners that are judged as they draw, too."""
WORLD = Greed(1)


class LoggedOnce(WorldData):
    """The same log for every learner of a process."""

    def log(self) -> TensorDict:
        """Play at the first call only."""
        return _log(json.dumps(self.behavior), self.logged_sessions, self.seed).copy()


@cache
def _log(behavior: str, sessions: int, seed: int) -> TensorDict:
    weights = json.loads(behavior)
    return WorldData("Greed", behavior=weights, logged_sessions=sessions, seed=seed).log()


# --- the truth --------------------------------------------------------------------------------


def returned(contender: Contender, seed: int, deterministic: bool) -> float:
    """Give the mean return in sessions that no training has."""
    torch.manual_seed(seed)
    users = torch.arange(SESSIONS)
    played, _ = play(contender, Greed(SESSIONS), users, at_seed(seed), deterministic=deterministic)
    return float(played.reward.mean())


def references(data: WorldData, seed: int) -> dict[str, float]:
    """Give the returns of those who learn nothing."""
    world, behavior = Greed(SESSIONS), data._behavior(Greed(SESSIONS))
    return {
        "random/return": returned(Scored(even_chance(world)), seed, True),
        "oracle/return": returned(Scored(world.oracle), seed, True),
        "behavior/drawn": returned(behavior, seed, False),
        "behavior/return": returned(behavior, seed, True),
    }


# --- estimates --------------------------------------------------------------------------------


def of_states(observation: Tensor, memory: Tensor) -> Tensor:
    """Give what fitted values read of states, (R, 37 + 3 M).

    :param observation: (R, 35).
    :param memory: (R, M) what the sessions have taken so far, see :func:`remembered`.
    """
    time = observation[:, 2 * Greed.SIZE, None]
    own = [torch.ones_like(time), observation, time.square()]
    return torch.cat([*own, memory, memory.square(), memory * time], 1).double()


def remembered(rows: TensorDictBase) -> tuple[Tensor, Tensor]:
    """Sum the qualities and baits of what was taken, the latest most: (R, M) before and after.

    Who leaves depends on what was taken long before, which no observation holds.
    """
    known = WORLD.item_vectors[rows[Key.ACTION].squeeze(1), -2:]
    taken = known * rows["next", Key.OBSERVATION][:, -1:]
    user, step = rows[Key.USER], rows[Key.STEP].squeeze(1)
    sums = torch.zeros(int(user.max()) + 1, len(DECAYS), 2)
    after = torch.zeros(len(rows), len(DECAYS), 2)
    before = torch.zeros_like(after)
    decay = torch.tensor(DECAYS)[:, None]
    for now in range(STEPS):
        here = (step == now).nonzero()[:, 0]
        before[here] = sums[user[here]]
        sums[user[here]] = decay * before[here] + taken[here].unsqueeze(1)
        after[here] = sums[user[here]]
    return before.flatten(1), after.flatten(1)


def of_items(items: Tensor) -> Tensor:
    """Give what they read of items, (R, 22): direction, quality, bait, and squares of these."""
    known = WORLD.item_vectors[items].double()
    quality, bait = known[:, -2:].T.unsqueeze(2)
    return torch.cat([torch.ones_like(quality), known, quality**2, bait**2, quality * bait], 1)


def shown(policy: LearnedPolicy, state: TensorDictBase) -> Tensor:
    """Give the item that a policy scores highest in states, (R,)."""
    found = []
    for part in state.select(*policy.reads, Key.HISTORY, PACKED, strict=False).split(AT_ONCE):
        part[Key.MASK] = unpack(part.pop(PACKED), WORLD.num_items + 1)
        with torch.no_grad():
            found.append(policy.columns(part).mode.squeeze(1))
    return torch.cat(found)


class HeldOut:
    """A log, and values of a policy fitted to it.

    Q is bilinear in what is known of states and of items, with the time among the former. Each
    round of fitted Q evaluation regresses on the reward and the value, as of the last round, of
    what the policy would show next; as many rounds as a session has steps, from zero.

    :param rows: (R,) transitions.
    """

    def __init__(self, rows: TensorDictBase) -> None:
        self.rows, self.item = rows, rows[Key.ACTION].squeeze(1)
        before, after = remembered(rows)
        self.state, self.shown = of_states(rows[Key.OBSERVATION], before), of_items(self.item)
        self.following = of_states(rows["next", Key.OBSERVATION], after)
        self.reward = rows["next", "reward"].squeeze(1).double()
        self.goes_on = ~rows["next", "done"].squeeze(1)
        size = self.state.shape[1] * self.shown.shape[1]
        gram = PENALTY * torch.eye(size, dtype=torch.float64)
        for part in torch.arange(len(rows)).split(AT_ONCE):
            both = torch.einsum("ra,rb->rab", self.state[part], self.shown[part]).flatten(1)
            gram.addmm_(both.T, both)
        self.factor = torch.linalg.cholesky(gram)

    def fitted(self, policy: LearnedPolicy) -> Tensor:
        """Give the matrix of Q."""
        after = of_items(shown(policy, self.rows["next"]))
        q = torch.zeros(self.state.shape[1], self.shown.shape[1], dtype=torch.float64)
        for _ in range(STEPS):
            goal = self.reward + _values(self.following, q, after) * self.goes_on
            right = self.state.T @ (self.shown * goal.unsqueeze(1))
            q = torch.cholesky_solve(right.view(-1, 1), self.factor).view_as(q)
        return q

    def grid(self, values: Tensor, rest: float = 0.0) -> Tensor:
        """Set values (R,) by session and step, (N, T)."""
        user, step = self.rows[Key.USER], self.rows[Key.STEP].squeeze(1)
        found = torch.full((HELD_OUT, STEPS), rest, dtype=torch.float64)
        found[user, step] = values.double()
        return found

    def judged(self, policy: LearnedPolicy) -> SequenceLog:
        """Give what estimators ask for: columns are the logged item, and any other."""
        q, own = self.fitted(policy), shown(policy, self.rows)
        same = (own == self.item).double()
        logged = _values(self.state, q, self.shown)
        value = _values(self.state, q, of_items(own))
        chance = self.rows[Key.LOG_PROBABILITY].double().exp()
        pairs = {
            "target": (self.grid(same), self.grid(1 - same)),
            # What is expected of another item is asked for only where the policy shows one.
            "expected": (self.grid(logged), self.grid(value)),
            "behavior": (self.grid(chance, 0.5), self.grid(1 - chance, 0.5)),
        }
        return SequenceLog(
            torch.zeros(HELD_OUT, STEPS, dtype=torch.int64),
            self.grid(self.reward),
            propensity=self.grid(chance, 1.0),
            there=self.grid(torch.ones_like(chance)) > 0,
            in_sample=True,
            **{name: torch.stack(pair, 2) for name, pair in pairs.items()},
        )


def _values(state: Tensor, q: Tensor, items: Tensor) -> Tensor:
    return ((state @ q) * items).sum(1)


# --- a seed -----------------------------------------------------------------------------------


def learned(loss: str, seed: int, folder: Path, more: list[str]) -> LearnedPolicy:
    """Train by the recipe."""
    recipe: dict[str, Any] = recipes.find("worlds/offline")[1]
    recipe["data"]["class_path"] = f"{__name__}.{LoggedOnce.__name__}"
    # Few sessions to be looked at after each epoch, as nothing depends on them.
    own = ["--model.init_args.loss", loss, "--data.init_args.judging", "16"]
    own += ["--seed_everything", str(seed), *OWN.get(loss, ()), *more]
    train(Stage("policy", recipe, folder / loss / "policy", own))
    return LearnedPolicy.load(folder / loss / "policy")


def measure(seed: int, folder: Path, more: list[str]) -> dict[str, float | str]:
    """Train all learners on the log of a seed, judge them in truth and by estimators."""
    settings = recipes.find("worlds/offline")[1]["data"]["init_args"]
    behavior = settings["behavior"]
    data = WorldData("Greed", behavior=behavior, logged_sessions=HELD_OUT, seed=1000 + seed)
    found: dict[str, float | str] = {**references(data, seed)}
    held_out = HeldOut(data.log())
    for loss in OFFLINE:
        policy = learned(loss, seed, folder, more)
        found[f"{loss}/return"] = returned(policy, seed, True)
        if loss in LAWS:
            found[f"{loss}/drawn"] = returned(policy, seed, False)
        log = held_out.judged(policy)
        for name, estimator in ESTIMATORS.items():
            estimate = estimator(log)
            found[f"{loss}/{name}/value"] = estimate.value
            found[f"{loss}/{name}/verdict"] = str(estimate.verdict)
        print({k: v for k, v in found.items() if k.startswith(f"{loss}/")}, flush=True)
    return found


def main() -> None:
    """Measure a seed, and write ``metrics.json``."""
    seed, out, *more = sys.argv[1:]
    torch.set_num_threads(1)
    found = measure(int(seed), Path(out), more)
    Path(out).joinpath("metrics.json").write_text(json.dumps(found))


if __name__ == "__main__":
    # By its own name, so that recipes find the class that has the log.
    from benchmarks.offline_run import main as run

    run()
