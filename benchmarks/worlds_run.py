"""One cell of the benchmark `worlds`: the returns of a world's contenders, under common chance."""

import argparse
import json
from collections.abc import Callable
from itertools import product
from pathlib import Path

import torch
from lightrec_worlds.greed import Greed
from lightrec_worlds.playing import even_chance, play
from lightrec_worlds.retention import Retention
from tensordict import TensorDictBase
from torch import Tensor

from lightrec.evaluation.user_models import spearman_within_sets
from lightrec.keys import Key
from lightrec.simulators.world import World
from lightrec.simulators.worlds.far import Far
from lightrec.simulators.worlds.far_log import FarLog

Scores = Callable[[TensorDictBase], Tensor]
SESSIONS = 16_384
"""Enough to know the low returns of `greed` to one per cent."""
USERS = 4096
FACTORS = {1: 4, 3: 8}
"""What quality counts in the rule of the world `greed`, by places."""
DRAWS = 40
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


def ordered(appeal: Tensor, factor: float, falling: bool = False) -> Callable[[Greed], Scores]:
    """Give a list that is the same for everybody: by appeal · (1 + factor · q).

    :param appeal: (N + 1,).
    :param falling: whether quality counts by 1 - t / T, so that good items stand first.
    """

    def of(world: Greed) -> Scores:
        def scores(state: TensorDictBase) -> Tensor:
            left = 1 - state[Key.STEP] / world.max_steps if falling else 1
            return (appeal * (1 + factor * left * world.quality)).expand(world.batch_size[0], -1)

        return scores

    return of


def at_first(world: Greed) -> Tensor:
    """Give the attraction (B, N + 1) of all items to users who are not among the measured ones."""
    world.fix(torch.arange(world.batch_size[0]), SEARCH_SEED)
    return world.logits(world.reset())


def best_list(world: Greed) -> Callable[[Greed], Scores]:
    """Find the best list for everybody, on sessions of their own, among sixteen."""
    logits = at_first(world)
    appeals = (logits.sigmoid().mean(0), logits.exp().mean(0))
    lists = [ordered(*way) for way in product(appeals, (2, 4, 8, 12), (False, True))]
    returns = [play(world, of(world), SEARCH_SEED).returns.mean() for of in lists]
    return lists[int(torch.stack(returns).argmax())]


def contenders_of(world: Greed) -> dict[str, Scores]:
    """Give those that take no search."""
    factor = FACTORS[world.slate_size]
    return {
        "random": even_chance(world),
        "greedy": world.logits,
        "constant": ordered(at_first(world).exp().mean(0), 2)(world),
        "rule": lambda state: world.rule(state, factor),
        "oracle": world.oracle,
    }


def greed(seed: int) -> dict:
    """The default items, sessions of one seed."""
    found = {}
    for size in FACTORS:
        world = Greed(SESSIONS, slate_size=size)
        best = best_list(Greed(512, slate_size=size))(world)
        ways = contenders_of(world) | {"constant-best": best}
        found |= measured(world, ways, seed, f"slate-{size}")
    return found


def greed_draws(seed: int) -> dict:
    """How far returns depend on the draw of the items: 1,024 sessions of its own each."""
    rows = []
    for draw, size in product(range(DRAWS), FACTORS):
        world = Greed(1024, seed=draw, slate_size=size)
        rows.append(measured(world, contenders_of(world), DRAWS * seed + draw, f"slate-{size}"))
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
    """Items and users of one seed, 4,096 users."""
    found = {}
    for size in (1, 3):
        world = Retention(USERS, seed=seed, slate_size=size)

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
