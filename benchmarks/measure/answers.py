"""Policies that adapt to answers, in sessions with real people whose answers are all known.

Each new person plays once. A contender's settings are those that earn most with a fifth of the
people who may be learned from, when the others are learned from. Intervals are over people; seeds
differ in who may be learned from.
"""

from itertools import product
from typing import Any

import torch
from lightrec_worlds.answered import AnsweredWorld
from lightrec_worlds.answers import Answers
from lightrec_worlds.beliefs import BeliefPolicy
from lightrec_worlds.loadings import Loadings
from torch import Tensor

from benchmarks.measure import Cell
from lightrec.evaluation.base import keys_of
from lightrec.intervals import mean_interval
from lightrec.keys import Key
from lightrec.policies.baselines import RandomPolicy
from lightrec.simulators.rollout import play
from lightrec.simulators.world import Scored

LEARNED = 0.8
FACTORS, CAUTION = (2, 8, 32), (1.0, 3.0)
CONTENDERS: dict[str, dict[str, Any]] = {
    "fixed list": {"after": "nothing"},
    "likes alone": {"after": "likes"},
    "thompson": {"explore": "thompson"},
    "upper": {"explore": "upper"},
    "answers": {},
}


def measure(cell: Cell) -> dict[str, Any]:
    """Play all contenders."""
    table = Answers.read(cell["log"])
    known = table.part("known", cell["share"], cell.seed)
    trial, judged = (
        World(cell, part, share) for part, share in ((known, LEARNED), (table, cell["share"]))
    )
    tried: dict[str, dict[tuple[int, float], float]] = {name: {} for name in CONTENDERS}
    for size in FACTORS:
        model = Loadings.of(trial.world.known.values, size)
        for caution, (name, how) in product(CAUTION, CONTENDERS.items()):
            policy = BeliefPolicy(trial.world.num_items, size, **how)
            earned = trial.earned(policy.believing(model.cautious(caution)))
            tried[name][size, caution] = float(earned.mean())
    fitted = {size: Loadings.of(known.values, size) for size in FACTORS}
    found: dict[str, Any] = {}
    played: dict[str, Tensor] = {}
    for name, how in CONTENDERS.items():
        size, caution = max(tried[name], key=lambda each: tried[name][each])
        found |= {f"{name}/factors": size, f"{name}/caution": caution}
        model = fitted[size].cautious(caution)
        policy = BeliefPolicy(judged.world.num_items, size, **how)
        played[name] = judged.earned(policy.believing(model))
    scores = told(model, judged.world.table.values)  # by the last contender's, answers
    played["told all others"] = judged.earned(Scored(lambda state: scores[state[Key.USER]]))
    played["random"] = judged.earned(RandomPolicy(judged.world.num_items))
    played["oracle"] = judged.earned(Scored(judged.world.oracle))
    fixed = played["fixed list"]
    for name, each in played.items():
        found[f"{name}/return"] = float(each.mean())
        found[f"{name}/gain"] = float(each.mean() / fixed.mean()) - 1
        for other in ("fixed list", "likes alone"):
            found |= keys_of(f"{name}-minus-{other}", mean_interval(each - played[other]))
    return found


class World:
    """A world in which each new person of a table plays once."""

    def __init__(self, cell: Cell, table: Answers, share: float) -> None:
        people = table.part("new", share, cell.seed).people
        self.users = torch.arange(len(people))
        # The factors that it shows are not read here.
        how = {**cell["world"], "share": share, "split": cell.seed, "size": 1}
        self.world, self.seed = AnsweredWorld(len(self.users), log=table, **how), cell.seed

    def earned(self, policy: Any) -> Tensor:
        """Each person's sum of answers, (P,)."""
        torch.manual_seed(self.seed)
        return play(policy, self.world, self.users, self.seed)[0].reward[0]


def told(model: Loadings, values: Tensor) -> Tensor:
    """What a factor model expects of each answer (P, N + 1) when it is told all others."""
    there, answers = (~values.isnan()).double(), values.double().nan_to_num()
    there[:, 0] = 0
    taste, variance = model.beliefs(answers, there)
    error = answers - model.mean - taste @ model.weights.T
    known = torch.einsum("nd,pde,ne->pn", model.weights, variance, model.weights) / model.noise
    return (answers - error / (1 - known)).float()
