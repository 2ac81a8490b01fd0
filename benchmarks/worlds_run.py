"""One cell of the benchmark `worlds`: the returns of a world's contenders, under common chance."""

import argparse
import json
from collections.abc import Callable
from itertools import product
from pathlib import Path

import torch
from tensordict import TensorDictBase
from torch import Tensor

from lightrec.evaluation.correlation import spearman_within_sets
from lightrec.keys import Key
from lightrec.simulators.far import Far
from lightrec.simulators.far_log import FarLog
from lightrec.simulators.greed import Greed
from lightrec.simulators.play import even_chance, play
from lightrec.simulators.retention import Retention
from lightrec.simulators.world import World

Scores = Callable[[TensorDictBase], Tensor]
SESSIONS = 4096
FACTORS = {1: 4, 3: 8}
"""What quality counts in the rule of the world `greed`, by places."""
DRAWS = 12
SEARCH_SEED = 900


def measured(world: World, contenders: dict[str, Scores], seed: int, head: str) -> dict:
    """Play all contenders: mean return with its standard error, and mean length."""
    found = {}
    for name, scores in contenders.items():
        played = play(world, scores, seed)
        found[f"{head}/{name}/return"] = float(played.returns.mean())
        found[f"{head}/{name}/error"] = float(played.returns.std()) / len(played.returns) ** 0.5
        found[f"{head}/{name}/length"] = float(played.length.float().mean())
    return found


def constant(size: int, small: Greed) -> dict[str, Callable[[Greed], Scores]]:
    """Find lists that are the same for everybody, on sessions of their own.

    :returns: ``constant``: by mean weight · (1 + 2 q), and ``constant-best``, the best of two
        appeals, with and without a factor that falls with the step, at four factors.
    """
    small.fix(torch.arange(small.batch_size[0]), SEARCH_SEED)
    logits = small.logits(small.reset())
    appeals = (logits.sigmoid().mean(0), logits.exp().mean(0))

    def ordered(appeal: Tensor, factor: float, falling: bool) -> Callable[[Greed], Scores]:
        def of(world: Greed) -> Scores:
            def scores(state: TensorDictBase) -> Tensor:
                left = 1 - state[Key.STEP] / world.max_steps if falling else 1
                table = appeal * (1 + factor * left * world.quality)
                return table.expand(world.batch_size[0], -1)

            return scores

        return of

    lists = [ordered(*way) for way in product(appeals, (2, 4, 8, 12), (False, True))]
    returns = [play(small, of(small), SEARCH_SEED).returns.mean() for of in lists]
    best = int(torch.stack(returns).argmax())
    return {"constant": ordered(appeals[1], 2, False), "constant-best": lists[best]}


def greed(seed: int) -> dict:
    """The default draw of items, 4,096 sessions."""
    found = {}
    for size, factor in FACTORS.items():
        world = Greed(SESSIONS, slate_size=size)
        contenders: dict[str, Scores] = {
            "random": even_chance(world),
            "greedy": world.logits,
            "rule": lambda s, w=world, f=factor: w.rule(s, f),
            "oracle": world.oracle,
        }
        lists = constant(size, Greed(512, slate_size=size))
        contenders |= {name: of(world) for name, of in lists.items()}
        found |= measured(world, contenders, seed, f"slate-{size}")
    return found


def greed_draws(seed: int) -> dict:
    """How far returns depend on the draw of the items: 1,024 sessions each."""
    rows = []
    for draw, size in product(range(DRAWS), FACTORS):
        world = Greed(1024, seed=draw, slate_size=size)
        ways = {
            "random": even_chance(world),
            "greedy": world.logits,
            "rule": lambda s, w=world, f=FACTORS[size]: w.rule(s, f),
            "oracle": world.oracle,
        }
        rows.append(measured(world, ways, seed, f"slate-{size}"))
    found = {}
    for name in sorted({name for row in rows for name in row if name.endswith("/return")}):
        values = torch.tensor([row[name] for row in rows if name in row])
        found[f"{name}/mean"] = float(values.mean())
        found[f"{name}/deviation"] = float(values.std())
    return found


def far(seed: int) -> dict:
    """The world of a seed: the law's own numbers, then 1,024 sessions with recommenders."""
    laws = FarLog(seed)
    held_out, walk = laws.held_out(4000), laws.walk(4000)
    without = FarLog(seed, after_effect=0).held_out(4000)
    nothing = (walk.choices[:, laws.UNLOGGED :] == laws.ITEMS + 1).float().mean()
    found = {
        "spearman": spearman_within_sets(held_out.value, held_out.reward),
        "spearman-without-after-effect": spearman_within_sets(without.value, without.reward),
        "nothing": float(nothing),
    }
    for size in (1, 3):
        world = Far(1024, laws=laws, slate_size=size)

        def liked(state: TensorDictBase, world: Far = world) -> Tensor:
            return world.laws.reward(world.user(state), state[Key.CANDIDATES])

        ways = {"random": even_chance(world), "greedy": liked, "oracle": world.oracle}
        found |= measured(world, ways, seed, f"slate-{size}")
    world = Far(1024, laws=laws, slate_size=laws.OFFER)
    return found | measured(world, {"free": even_chance(world)}, seed, "slate-20")


def retention(seed: int) -> dict:
    """The default draw of items, 4,096 users."""
    found = {}
    for size in (1, 3):
        world = Retention(SESSIONS, slate_size=size)

        def liked(state: TensorDictBase, world: Retention = world) -> Tensor:
            return world.logits(state, state[Key.CANDIDATES])

        def good(state: TensorDictBase, world: Retention = world) -> Tensor:
            items = state[Key.CANDIDATES]
            return world.logits(state, items).sigmoid() * world.quality[items]

        ways = {
            "random": even_chance(world),
            "greedy": liked,
            "quality": good,
            "oracle": world.oracle,
        }
        found |= measured(world, ways, seed, f"slate-{size}")
    return found


CELLS = {"greed": greed, "greed-draws": greed_draws, "far": far, "retention": retention}


def main() -> None:
    """Measure one cell and write its numbers."""
    parser = argparse.ArgumentParser()
    parser.add_argument("world", choices=CELLS)
    parser.add_argument("seed", type=int)
    parser.add_argument("out", type=Path)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    chosen.out.write_text(json.dumps(CELLS[chosen.world](chosen.seed)))


if __name__ == "__main__":
    main()
