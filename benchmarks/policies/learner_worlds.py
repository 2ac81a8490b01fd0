"""The worlds in which learners are compared, and what each asks of every recipe alike."""

from dataclasses import dataclass, field
from typing import Any

from lightrec_worlds.greed import Greed
from lightrec_worlds.interest_evolution import InterestEvolution
from lightrec_worlds.long_term_satisfaction import LongTermSatisfaction
from lightrec_worlds.playing import even_chance
from lightrec_worlds.retention import Retention
from tensordict import TensorDictBase
from torch import Tensor

from benchmarks.worlds_run import best_list
from lightrec.keys import Key
from lightrec.simulators.world import World
from lightrec.simulators.worlds.far import Far

ON_POLICY = ("ppo", "a2c", "reinforce", "reinforce-top-k", "slate-sarsa")
SINGLE = ("dqn", "double-dqn", "sac", "mpo")
LEARNERS = (*ON_POLICY, *SINGLE, "slate-q")


@dataclass(frozen=True)
class Setup:
    """A world, and how the learners' recipes are set for it."""

    kind: type[World]
    settings: dict[str, Any] = field(default_factory=dict)
    policy: dict[str, Any] = field(default_factory=dict)
    reward_scale: float = 1.0
    temperature: tuple[float, float] | None = None
    """Of slate-sarsa; None takes its recipe's, which was chosen for single items of `greed`."""
    learners: tuple[str, ...] = LEARNERS

    def make(self, sessions: int) -> World:
        """Make the world."""
        return self.kind(sessions, **self.settings)

    def overrides(self, learner: str) -> list[str]:
        """Give the settings of a learner's recipe."""
        given = ["--data.init_args.world", self.kind.__name__]
        for name, value in self.settings.items():
            given += [f"--data.init_args.settings.{name}", str(value)]
        for name, value in self.policy.items():
            given += [f"--data.init_args.policy.init_args.{name}", str(value)]
        if learner == "slate-sarsa" and self.temperature:
            given += ["--model.init_args.temperature", str(list(self.temperature))]
        return [*given, "--model.init_args.reward_scale", str(self.reward_scale)]


HISTORY = {"pools": 4, "history_length": 20}
SLATES = (*ON_POLICY, "slate-q")
WORLDS = {
    "greed": Setup(Greed),
    "greed-3": Setup(Greed, {"slate_size": 3}, temperature=(0.02, 0.004), learners=SLATES),
    "satisfaction": Setup(
        LongTermSatisfaction,
        {"sensitivity": 0.1},
        {"pools": 4, "history_length": 10, "size": 8, "hidden": [64], "horizon": 60},
        reward_scale=0.02,
    ),
    "far": Setup(Far, {}, HISTORY),
    "retention": Setup(Retention),
    "interest": Setup(InterestEvolution, {}, HISTORY, reward_scale=0.02, learners=SLATES),
}


def references(world: World) -> dict[str, Any]:
    """Give the contenders that learn nothing."""
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
    """Give the seed of the judging sessions, which no training and no validation has."""
    return 10_000 + seed


def true_rewards(total: Tensor) -> Any:
    """Give a recorder that sums up true rewards in ``total`` (B,)."""

    def record(state: TensorDictBase, following: TensorDictBase, alive: Tensor) -> None:
        total.add_(following[Key.TRUE_REWARD].squeeze(1) * alive)

    return record
