"""The worlds in which learners are compared, and what each asks of every recipe alike."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from typing import Any

import torch
from lightrec_worlds.greed import Greed
from lightrec_worlds.playing import even_chance, play
from lightrec_worlds.recsim import InterestEvolution, LongTermSatisfaction
from lightrec_worlds.retention import Retention
from tensordict import TensorDictBase
from torch import Tensor

from lightrec.keys import Key
from lightrec.simulators.world import Scores, World
from lightrec.simulators.worlds.far import Far

SEARCH_SEED = 900


@dataclass(frozen=True)
class Setup:
    """A world, and how the learners' recipes are set for it."""

    kind: type[World]
    settings: dict[str, Any] = field(default_factory=dict)
    policy: dict[str, Any] = field(default_factory=dict)
    reward_scale: float = 1.0
    temperature: tuple[float, float] | None = None
    """Of slate-sarsa; None takes its recipe's, which was chosen for single items of `greed`."""

    def make(self, sessions: int) -> World:
        """Make the world."""
        return self.kind(sessions, **self.settings)

    def overrides(self, learner: str) -> list[str]:
        """the settings of a learner's recipe."""
        given = ["--data.init_args.world", self.kind.__name__]
        for name, value in self.settings.items():
            given += [f"--data.init_args.settings.{name}", str(value)]
        for name, value in self.policy.items():
            given += [f"--data.init_args.policy.init_args.{name}", str(value)]
        if learner == "slate-sarsa" and self.temperature:
            given += ["--model.init_args.temperature", str(list(self.temperature))]
        return [*given, "--model.init_args.reward_scale", str(self.reward_scale)]


HISTORY = {"pools": 4, "history_length": 20}
WORLDS = {
    "greed": Setup(Greed),
    "greed-3": Setup(Greed, {"slate_size": 3}, temperature=(0.02, 0.004)),
    "satisfaction": Setup(
        LongTermSatisfaction,
        {"sensitivity": 0.1},
        {"pools": 4, "history_length": 10, "size": 8, "hidden": [64], "horizon": 60},
        reward_scale=0.02,
    ),
    "far": Setup(Far, {}, HISTORY),
    "retention": Setup(Retention),
    "interest": Setup(InterestEvolution, {}, HISTORY, reward_scale=0.02),
}


def ordered(appeal: Tensor, factor: float, falling: bool, world: Greed) -> Scores:
    """A list that is the same for everybody: by appeal · (1 + factor · q).

    :param appeal: (N + 1,).
    :param falling: whether quality counts by 1 - t / T, so that good items stand first.
    """

    def scores(state: TensorDictBase) -> Tensor:
        left = 1 - state[Key.STEP] / world.max_steps if falling else 1
        return (appeal * (1 + factor * left * world.quality)).expand(world.batch_size[0], -1)

    return scores


def best_list(world: Greed) -> Callable[[Greed], Scores]:
    """Search the best list for everybody, on sessions of its own, among sixteen."""
    world.fix(torch.arange(world.batch_size[0]), SEARCH_SEED)
    logits = world.logits(world.reset())
    appeals = (logits.sigmoid().mean(0), logits.exp().mean(0))
    lists = [partial(ordered, *way) for way in product(appeals, (2, 4, 8, 12), (False, True))]
    returns = [play(world, of(world), SEARCH_SEED).returns.mean() for of in lists]
    return lists[int(torch.stack(returns).argmax())]


def references(world: World) -> dict[str, Any]:
    """the policies that learn nothing."""
    found: dict[str, Any] = {
        "random": even_chance(world),
        "greedy": world.greedy,
        "oracle": world.oracle,
    }
    if isinstance(world, LongTermSatisfaction):
        found["always-kale"] = lambda state: -world.score[state[Key.CANDIDATES]]
    if isinstance(world, Greed):
        search = Greed(512, seed=world.seed, slate_size=world.slate_size)
        found["constant-best"] = best_list(search)(world)
    return found


def at_seed(seed: int) -> int:
    """the seed of the judging sessions, which no training and no validation has."""
    return 10_000 + seed
