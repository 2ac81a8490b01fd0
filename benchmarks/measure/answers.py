"""Policies that adapt to answers, in sessions with real people whose answers are all known.

Each new person plays once. A contender's settings are those that earn most with a fifth of the
people who may be learned from, when the others are learned from. Intervals are over people; seeds
differ in who may be learned from.
"""

from dataclasses import replace
from itertools import product
from types import SimpleNamespace
from typing import Any

import torch
from lightrec_rewards import limits
from lightrec_worlds.answered import ANSWERS, AnsweredWorld
from lightrec_worlds.answers import Answers, Part
from lightrec_worlds.beliefs import BeliefPolicy
from lightrec_worlds.loadings import Loadings
from lightrec_worlds.world_data import text_vectors
from tensordict import TensorDictBase
from torch import Tensor

from benchmarks.measure import Cell
from lightrec.encoders.text import TextEncoder
from lightrec.evaluation.base import keys_of
from lightrec.intervals import mean_interval
from lightrec.keys import Key
from lightrec.policies.baselines import RandomPolicy
from lightrec.rewards.base import RewardContext
from lightrec.simulators.rollout import play
from lightrec.simulators.world import Scored

LEARNED = 0.8
FACTORS = (2, 8, 32)
NOISE = {False: (1.0, 3.0), True: (1.0, 10.0, 30.0)}
"""Factors on it, by whether it is the same for all items."""
RATE = 0.01
"""Of prices, a step."""
CONTENDERS: dict[str, dict[str, Any]] = {
    "fixed list": {"after": "nothing"},
    "likes alone": {"after": "likes"},
    "answers": {},
}
DAILY: dict[str, dict[str, Any]] = {
    "fixed list": {"after": "nothing"},
    "greedy": {},
    "everything": {},
}


def measure(cell: Cell) -> dict[str, Any]:
    """Play all contenders."""
    table = Answers.read(cell["log"])
    known = table.part("known", cell["share"], cell.seed)
    trial, judged = (
        World(cell, part, share) for part, share in ((known, LEARNED), (table, cell["share"]))
    )
    tried: dict[str, dict[tuple[int, bool, float], float]] = {name: {} for name in CONTENDERS}
    for size, (even, cautions) in product(FACTORS, NOISE.items()):
        model = Loadings.of(trial.world.known.values, size, even)
        for caution, (name, how) in product(cautions, CONTENDERS.items()):
            policy = BeliefPolicy(trial.world.num_items, size, **how)
            earned = trial.earned(policy.believing(model.cautious(caution)))
            tried[name][size, even, caution] = float(earned.mean())
    found: dict[str, Any] = {}
    played: dict[str, Tensor] = {}
    for name, how in CONTENDERS.items():
        size, even, caution = max(tried[name], key=lambda each: tried[name][each])
        found |= {f"{name}/factors": size, f"{name}/even": even, f"{name}/caution": caution}
        model = Loadings.of(known.values, size, even).cautious(caution)
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


def words(cell: Cell) -> dict[str, Any]:
    """Play with items that nobody answered before: by their words, and what else could be done.

    A fifth of the items, drawn by the seed, are new. ``alone`` are sessions of new items only.
    """
    table = Answers.read(cell["log"], cell["items"])
    known = table.part("known", cell["share"], cell.seed).values
    count, size = known.shape[1] - 1, cell["model"]["size"]
    drawn = torch.randperm(count, generator=torch.Generator().manual_seed(cell.seed))
    new = torch.isin(torch.arange(count + 1), 1 + drawn[: count // 5])
    unknown = Loadings.of(known.masked_fill(new, torch.nan), size)
    models = {
        "answered": Loadings.of(known, size),
        "words": unknown.described(text_vectors(table.catalog, TextEncoder()), new),
        "unknown": unknown,
        "never shown": replace(unknown, mean=unknown.mean.masked_fill(new, -1e6)),
    }
    found: dict[str, Any] = {}
    for where in ("all", "alone"):
        values = table.values if where == "all" else table.values.masked_fill(~new, torch.nan)
        world = World(cell, replace(table, values=values), cell["share"])
        policies = {
            name: BeliefPolicy(count, size).believing(model) for name, model in models.items()
        }
        played = {name: world.earned(policy) for name, policy in policies.items()}
        for name, each in played.items():
            found[f"{where}/{name}/return"] = float(each.mean())
            found[f"{where}/{name}/part"] = float(each.mean() / played["answered"].mean())
            found |= keys_of(f"{where}/words-minus-{name}", mean_interval(played["words"] - each))
    return found


def limited(cell: Cell) -> dict[str, Any]:
    """Keep a limit of lightrec's on what is shown, ever more narrowly, by prices of items.

    The prices move in sessions with a fifth of the people who may be learned from; then they stay,
    and are added to what is expected of items. The first level is no limit.
    """
    table = Answers.read(cell["log"], cell["items"])
    known, model = table.part("known", cell["share"], cell.seed), cell["model"]
    loadings = Loadings.of(known.values, model["size"], model["even"]).cautious(model["caution"])
    trial, judged = World(cell, known, LEARNED), World(cell, table, cell["share"])
    belief = BeliefPolicy(judged.world.num_items, model["size"]).believing(loadings)
    likes = (known.values > 0).sum(0).double().numpy()
    held = SimpleNamespace(popularity=lambda: likes)
    context = RewardContext(items=table.catalog.rows, store=held)  # type: ignore[arg-type]
    ((setting, levels),) = cell["levels"].items()
    made = getattr(limits, cell["limit"])
    due = made(**cell["given"], **{setting: 0.0}).made(context)
    found: dict[str, Any] = {}
    played: list[Tensor] = []
    for level in levels:
        limit = Priced(belief, made(**cell["given"], **{setting: level}))
        limit.limit.bind(context)
        for _ in range(cell["rounds"]):
            play(Scored(limit.scores), trial.world, trial.users, cell.seed, record=limit.move)
        played.append(judged.earned(Scored(limit.scores), limit.note))
        shown = torch.stack(limit.noted).mean(0)
        # Of shares of all that is shown, what is another's due; of a single one, itself.
        found[f"{level:g}/measured"] = float((shown - due).abs().sum() / min(2, len(due)))
        found[f"{level:g}/return"] = float(played[-1].mean())
        found[f"{level:g}/part"] = float(played[-1].mean() / played[0].mean())
        found |= keys_of(f"{level:g}-minus-none", mean_interval(played[-1] - played[0]))
    return found


class Priced:
    """A belief with a limit's prices added to what it expects of items."""

    def __init__(self, belief: BeliefPolicy, limit: limits.Limit) -> None:
        self.belief, self.limit = belief, limit
        self.noted: list[Tensor] = []

    def scores(self, state: TensorDictBase) -> Tensor:
        """What is expected of each item, and its price."""
        return self.belief.logits(state) + self.limit.prices(state)

    def move(self, state: TensorDictBase, *_: Tensor) -> None:
        """Let prices move by a step of sessions."""
        self.limit.move(self.limit(state), RATE, 1.0)

    def note(self, state: TensorDictBase, *_: Tensor) -> None:
        """Note what a step of sessions showed."""
        self.noted.append(self.limit(state).mean(0))


def days(cell: Cell) -> dict[str, Any]:
    """Play with other people every day; each night what they were asked joins what is known."""
    table = Answers.read(cell["log"])
    order = torch.randperm(len(table.people), generator=torch.Generator().manual_seed(cell.seed))
    begun, rest = order[: cell["known"]], order[cell["known"] :]
    size, count = cell["model"]["size"], table.values.shape[1] - 1
    found: dict[str, Any] = {}
    earned: dict[str, Tensor] = {}
    for name, how in DAILY.items():
        known, daily = table.values[begun], []
        for people in rest.chunk(cell["days"]):
            part = replace(table, values=table.values[people], people=people.tolist())
            policy = BeliefPolicy(count, size, **how).believing(Loadings.of(known, size))
            each, new, _ = World(cell, part, part="all").asked(policy)
            known = torch.cat([known, part.values if name == "everything" else new])
            daily.append(each)
        earned[name] = torch.cat(daily)
        found |= {f"{name}/day-{day}": float(each.mean()) for day, each in enumerate(daily, 1)}
    for name, each in earned.items():
        found[f"{name}/return"] = float(each.mean())
        found |= keys_of(f"{name}-minus-greedy", mean_interval(each - earned["greedy"]))
    return found


class World:
    """A world in which each person of a part of a table plays once."""

    def __init__(
        self, cell: Cell, table: Answers, share: float = 0.5, part: Part = "new", **model: Any
    ) -> None:
        self.users = torch.arange(len(table.part(part, share, cell.seed).people))
        how = {"size": 1, **cell["world"], **model, "share": share, "split": cell.seed}
        # Without a model, the factors that it shows are not read.
        self.world = AnsweredWorld(len(self.users), log=table, part=part, **how)
        self.seed = cell.seed

    def earned(self, policy: Any, record: Any = None, **how: Any) -> Tensor:
        """Each person's sum of answers, (P,)."""
        torch.manual_seed(self.seed)
        return play(policy, self.world, self.users, self.seed, record=record, **how)[0].reward[0]

    def asked(self, policy: Any, log: Any = None) -> tuple[Tensor, Tensor, list[Any]]:
        """The same, what they said where they were asked, (P, N + 1), and what recorders see.

        :param log: records slates, which are then drawn.
        """
        steps: list[Any] = []
        earned = self.earned(policy, lambda *step: steps.append(step), deterministic=log is None)
        for step in steps if log else ():
            log(*step)
        seen, said = (steps[-1][1][name] for name in (Key.SEEN, ANSWERS))
        answers = torch.full_like(self.world.table.values, torch.nan).scatter(1, seen, said)
        return earned, answers.index_fill(1, torch.tensor([0]), torch.nan), steps


def told(model: Loadings, values: Tensor) -> Tensor:
    """What a factor model expects of each answer (P, N + 1) when it is told all others."""
    there, answers = (~values.isnan()).double(), values.double().nan_to_num()
    there[:, 0] = 0
    taste, variance = model.beliefs(answers, there)
    error = answers - model.mean - taste @ model.weights.T
    known = torch.einsum("nd,pde,ne->pn", model.weights, variance, model.weights) / model.noise
    return (answers - error / (1 - known)).float()
