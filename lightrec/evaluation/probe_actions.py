"""Probing Virtual Taobao, whose actions are weights and no items, by the best for everybody."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from tensordict import TensorDictBase
from torch import Tensor

from lightrec.errors import RecipeError
from lightrec.evaluation.probe_verdict import CONSTANT, RANDOM, Probe, judge_probe
from lightrec.keys import Key
from lightrec.simulators.modes import Mode
from lightrec.simulators.rollout import Sessions
from lightrec.simulators.worlds.virtual_taobao import (
    PAGE,
    WEIGHTS,
    VirtualTaobao,
    best_constant_action,
)

NAME = "VirtualTaobao"
SEARCHED = 64
"""Users on whom an action is searched; what it earns is measured on others."""


def simulator_of_actions(
    what: str, settings: Mapping[str, Any], sessions: int
) -> VirtualTaobao | None:
    """Make the simulator of continuous actions that is meant; None where it is another kind.

    :raises RecipeError: where its folder is not given, or a setting is unknown.
    """
    if what != NAME:
        return None
    if "folder" not in settings:
        raise RecipeError(
            f"{NAME} reads its published weights from a folder: give it as "
            "`--set folder=FOLDER`, where FOLDER holds the three files or is a checkout of "
            "eyounx/VirtualTaobao."
        )
    known = {"folder", "max_steps", "ending"}
    for name in settings:
        if name not in known:
            raise RecipeError(f"{NAME} has no setting {name!r}; it has {', '.join(sorted(known))}.")
    given = dict(settings)
    return VirtualTaobao(given.pop("folder"), sessions, **given)


def probe_actions(
    simulator: VirtualTaobao,
    searched: VirtualTaobao,
    mode: Mode,
    seed: int,
    told: Callable[[], object] = lambda: None,
    **search: int,
) -> Probe:
    """Search the weights that everybody clicks on, and play them beside random ones.

    :param simulator: of the sessions that are measured.
    :param searched: of the sessions on whose users the weights are searched.
    :param mode: in which ``simulator`` plays.
    :param told: called three times, after the search and after each contender.
    :param search: sizes of :func:`~lightrec.simulators.worlds.virtual_taobao.best_constant_action`.
    """
    searched.set_seed(seed)
    best = best_constant_action(searched, seed=seed, **search)
    told()
    chance = torch.Generator().manual_seed(seed)
    rows = simulator.batch_size[0]

    def random(state: TensorDictBase) -> Tensor:
        return torch.rand(rows, WEIGHTS, generator=chance).to(simulator.device) * 2 - 1

    def constant(state: TensorDictBase) -> Tensor:
        return best.expand(rows, -1)

    found = {}
    for name, act in ((RANDOM, random), (CONSTANT, constant)):
        found[name] = play_actions(simulator, act, seed)
        told()
    return judge_probe(NAME, mode, "action", found, (0.0, float(PAGE)))


@torch.no_grad()
def play_actions(
    simulator: VirtualTaobao, act: Callable[[TensorDictBase], Tensor], seed: int
) -> Sessions:
    """Play one session a row under common random numbers.

    :param act: from states to actions (B, 27).
    :returns: sessions with R = 1, in which what was accepted are the clicks.
    """
    rows = simulator.batch_size[0]
    simulator.fix(torch.arange(rows), seed)
    state = simulator.reset()
    alive = torch.ones(rows, dtype=torch.bool, device=simulator.device)
    reward, length = torch.zeros(2, rows, device=simulator.device)
    while alive.any():
        state[Key.ACTION] = act(state.exclude(Key.LATENT))
        following = simulator.step(state)["next"]
        reward += following["reward"].squeeze(1) * alive
        length += alive
        alive = alive & ~following["done"].squeeze(1)
        state = following.exclude("reward")
    reward, length = reward[None].cpu(), length[None].cpu()
    return Sessions(reward, reward, length, {}, 0.0)
