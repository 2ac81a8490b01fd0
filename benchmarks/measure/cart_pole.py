"""Gymnasium's CartPole-v1 by a shipped recipe, and 100 games that nobody has seen before."""

import json
from time import process_time

import torch
from lightrec_gym.games import DiscreteGymnasium

from benchmarks.measure import Cell
from lightrec.cli.fit import fit
from lightrec.evaluation.base import keys_of
from lightrec.intervals import mean_interval
from lightrec.policies.base import Policy
from lightrec.simulators.rollout import play
from lightrec.stages import recipes

GAMES = 100
SEED = 1_000_000
"""Of the judged games; those that choose epochs have seed 0."""


def measure(cell: Cell) -> dict[str, float]:
    """Train, and play the games, other ones for each seed."""
    recipe, folder, began = f"gym/cart-pole-{cell['learner']}", cell.out / "policy", process_time()
    fit(f"--seed_everything={cell.seed}", *cell.options, config=[recipe], out=folder)
    seconds = process_time() - began
    trained = json.loads((folder / "metrics.json").read_text())
    settings = recipes.find(recipe)[1]["data"]["init_args"]["settings"]
    games = DiscreteGymnasium(batch_size=GAMES, **settings)
    played, _ = play(Policy.load(folder), games, torch.arange(GAMES), SEED + cell.seed)
    lowest = float(played.reward.min())
    steps = {name: n for name, n in trained.items() if name.endswith("environment_steps")}
    metrics = {"fit/cpu_seconds": seconds, "chosen/return": trained["validation/return"], **steps}
    return metrics | keys_of("return", mean_interval(played.reward[0])) | {"return/lowest": lowest}
