"""Probing simulators, worlds, user models and Virtual Taobao, for what no real user would do."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from tqdm.auto import tqdm

from lightrec.errors import RecipeError
from lightrec.evaluation.constants import Tally, best_constant_lists, rounds
from lightrec.evaluation.judge import ORACLE
from lightrec.evaluation.markdown import aligned, give
from lightrec.evaluation.probe_actions import NAME, SEARCHED, probe_actions, simulator_of_actions
from lightrec.evaluation.probe_verdict import (
    CONSTANT,
    LASTING,
    RANDOM,
    UNREPEATED,
    Probe,
    judge_probe,
)
from lightrec.evaluation.sections import Table
from lightrec.evaluation.simulate import Arena, arena, seeds_of
from lightrec.simulators.modes import Mode, in_mode
from lightrec.simulators.rollout import Contender, Sessions, judge

LISTS = ("constant", "popularity")
"""Contenders of an arena that look at nobody."""


def probe(
    what: str,
    policies: Sequence[str],
    mode: Mode,
    sessions: int,
    seed: int,
    settings: Mapping[str, Any],
    model: str = "judge",
) -> Probe:
    """Search the best constant action of a simulator and judge by the rule.

    :param what: a world's name, a run folder, or ``VirtualTaobao`` with its ``folder`` among the
        settings.
    :param policies: learned ones, which stand beside it; a world's oracle does in any case.
    :param mode: of judging.
    :param sessions: at least so many of each contender, after the search.
    :param seed: of all chance.
    :raises RecipeError: where something is not known, or a policy cannot play.
    """
    if policies and what == NAME:
        raise RecipeError(
            f"{what} takes weights of attributes, and policies that show items cannot play it: "
            "leave out --policy."
        )
    shop = simulator_of_actions(what, settings, sessions)
    searched = simulator_of_actions(what, settings, SEARCHED)
    if shop is None or searched is None:
        on = arena(what, sessions, seed, settings, model)
        return probe_lists(on, policies, mode, seed, sessions)
    with _bar(3) as bar:
        return probe_actions(in_mode(shop, mode), searched, mode, seed, bar.update)


def probe_lists(on: Arena, policies: Sequence[str], mode: Mode, seed: int, sessions: int) -> Probe:
    """Probe a simulator of items by the best list for everybody."""
    there = on.in_mode(mode)
    learned = [*policies, *([ORACLE] if ORACLE in there.policies else [])]
    players: dict[str, Contender] = {name: there.policy(name) for name in (RANDOM, *learned)}
    known = {name: there.policy(name) for name in LISTS if name in there.policies}
    again = there.simulator.repeats and there.simulator.offer_size is None
    search = rounds(len(known), again, there.simulator.num_items)
    with _bar(search + len(players) + 2 + again) as bar:
        bar.set_description("search", refresh=False)
        players[CONSTANT], lasting = best_constant_lists(
            there.simulator, there.users, _apart(seed), known=known, leaders=again, told=bar.update
        )
        if lasting is not players[CONSTANT]:
            players[LASTING] = lasting
        bar.total = search + len(players) + again
        tally = Tally(there.simulator.num_items, there.simulator.device)
        found: dict[str, Sessions] = {}
        seeds = seeds_of(there, sessions, seed)
        for name, player in players.items():
            bar.set_description(name, refresh=False)
            found |= judge({name: player}, there.simulator, there.users, seeds, record=tally.round)
            tally.close()
            bar.update()
        if again:
            bar.set_description(UNREPEATED, refresh=False)
            other = on.in_mode("no-repeats").simulator
            found |= judge({UNREPEATED: players[CONSTANT]}, other, there.users, seeds)
            bar.update()
    bounds = tally.lowest, tally.highest
    action = "list of items" if there.simulator.slate_size > 1 or not again else "item"
    return judge_probe(on.title, mode, action, found, bounds, learned)


def table(found: Probe) -> str:
    """Set the verdict and what it is made of as Markdown."""
    head = ["contender", "reward/step", "share of the range", "length", "return"]
    rows = [
        [
            name,
            give(made.reward_per_step),
            give(found.shares[name]),
            give(made.length),
            give(made.returns),
        ]
        for name, made in found.earned.items()
    ]
    bounds = f"Rewards of a step lie between {found.lowest:.3g} and {found.highest:.3g}."
    return (
        f"# Probe of {found.simulator} in mode {found.mode}\n\n{found.verdict}\n\n"
        f"{aligned(Table(head, rows))}\n\n{bounds}\n"
    )


def _apart(seed: int) -> int:
    """Give a seed for the search whose sessions are not those of the measurement."""
    return seed * 1_000_000 + 500_000


@contextmanager
def _bar(total: int) -> Iterator["tqdm[Any]"]:
    with tqdm(total=total, unit="play", mininterval=0.2 if sys.stderr.isatty() else 15) as bar:
        yield bar
