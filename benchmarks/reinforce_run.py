"""One seed of generators that learn on from rewards: a cell of `make bench NAME=reinforce`.

``python -m benchmarks.reinforce_run OUT SEED RUNS learn|sessions`` trains a generator and two user
models on MovieLens-100K, lets the generator learn on from rewards of its slates and from what user
model A answers, and beside that from likelihood for about as many CPU seconds, and judges lists;
then it judges in both user models what it left in the folder RUNS.
"""

import json
import math
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from lightrec_generate.generator import Generator
from lightrec_generate.policy import GeneratorPolicy
from lightrec_generate.reinforced_data import ReinforcedData
from lightrec_generate.rewards import DiversityReward, GainReward, NoveltyReward
from torch import Tensor

from benchmarks.cells import data_folder
from benchmarks.generate import FILMS
from lightrec.cli.run import stage_overrides
from lightrec.evaluation.arena import arena
from lightrec.intervals import mean_interval
from lightrec.keys import Key
from lightrec.nn.plackett_luce import PlackettLuce
from lightrec.nn.slate_law import items_at
from lightrec.policies.base import Policy
from lightrec.ranking.lists import diversified
from lightrec.run import Run
from lightrec.stages.run import run

LEAST = 3.0
"""The stars that are worth nothing."""
PARTS = {
    "ndcg@10": (GainReward(), "GainReward", 1.0),
    "novelty": (NoveltyReward(), "NoveltyReward", 0.2),
    "diversity": (DiversityReward(), "DiversityReward", 0.5),
    "rating": (
        GainReward(least=LEAST),
        f"{{class_path: GainReward, init_args: {{least: {LEAST}}}}}",
        1.0,
    ),
}
"""Rewards, how recipes name them, and how much they count."""
REWARDS = {"next": ["ndcg@10"], "lists": ["ndcg@10", "novelty", "diversity"], "rating": ["rating"]}
"""What a slate is paid by: sums of parts."""
SETTINGS = {
    **stage_overrides(FILMS, ["data", "identifiers", "generator"]),
    "text": ["--model.init_args.tune=none"],
    "ranker": ["--trainer.max_epochs=4", "--model.init_args.item_models=[Popularity]"],
}
SET = "over: generator\nwithout: [policy]\n"
CONTROL = """reads: [data, identifiers, generator]
optional: true
trainer: {max_epochs: 1, gradient_clip_val: 1.0}
model:
  class_path: GeneratorModule
  init_args: {learning_rate: 0.0003, without_dropout: 1.0}
data:
  class_path: GeneratorData
  init_args: {batch_size: 32}
"""
VARIETIES = [0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9]
"""How much difference counts where the start's lists are only rearranged."""
ROUNDS = 8
"""Sessions of each user, by whom generators are judged."""
CHOSEN: dict[str, list[str]] = {
    "next": [],
    "lists": ["--model.init_args.anchor=0.003"],
    "rating": [],
}
"""Settings over the recipe, chosen on validation events of seed 0."""
Found = dict[str, float]


def stages(folder: Path, seed: int, until: str, *words: str) -> float:
    """Do the stages up to one, which has settings of its own; give the CPU seconds."""
    with tempfile.TemporaryDirectory() as parent:
        own = Path(parent) / "reinforce"
        own.mkdir()
        (own / "set.yaml").write_text(SET)
        (own / "control.yaml").write_text(CONTROL)
        log, began = data_folder(), time.process_time()
        assert log is not None
        settings = {**SETTINGS, **({until: [*words]} if words else {})}
        run(str(own), out=folder, log=log / "ml-100k", seed=seed, until=until, overrides=settings)
        return time.process_time() - began


def likelihood(folder: Path, seed: int, seconds: float) -> tuple[Generator, float]:
    """Let the generator go on by likelihood for about so many CPU seconds."""
    one = stages(folder, seed, "control", "--trainer.max_epochs=1")
    epochs = 1 + math.ceil(seconds / one)
    spent = stages(folder, seed, "control", f"--trainer.max_epochs={epochs}")
    return Generator.load(folder / "control"), spent


def recipe(name: str) -> str:
    """Write a reward as a recipe names it."""
    parts = REWARDS[name]
    named, weights = ", ".join(PARTS[p][1] for p in parts), [PARTS[p][2] for p in parts]
    return f"{{class_path: WeightedSum, init_args: {{parts: [{named}], weights: {weights}}}}}"


class Lists:
    """The best slates of generators after held-out events, and what each is paid.

    :param made: the run.
    :param test: whether these are its test events, or validation events.
    """

    def __init__(self, made: Run, test: bool) -> None:
        folders = [str(made.folder(name)) for name in ("data", "identifiers", "generator")]
        self.payers = {n: ReinforcedData(*folders, reward=r) for n, (r, *_) in PARTS.items()}
        self.data = data = self.payers["diversity"]
        self.batches = [*(data.test_dataloader() if test else data.val_dataloader())]

    @torch.no_grad()
    def paid(self, generator: Generator, variety: float | None = None) -> dict[str, Tensor]:
        """Give what each part and each reward pays for each event, ``(E,)``.

        :param variety: of maximal marginal relevance, which rearranges the lists by what items
            have in common; None leaves them.
        """
        found: dict[str, list[Tensor]] = {name: [] for name in PARTS}
        size, values = self.data.slate_size, self.data.reward.values[:-1]
        for batch in self.batches:
            law = PlackettLuce(
                generator.scores(batch[Key.HISTORY]), self.data.may_be_shown(batch), size
            )
            best = items_at(law.mode)
            if variety is not None:
                likely = law.logits.softmax(1).masked_fill(law.logits < -1e9, -torch.inf)
                lists = [diversified(row, values, size, variety)[0] for row in likely]
                best = torch.stack(lists)
            for name, payer in self.payers.items():
                found[name].append(payer.paid(batch, best.unsqueeze(0)).squeeze(0))
        whole = {name: torch.cat(values) for name, values in found.items()}
        sums = {n: sum(PARTS[p][2] * whole[p] for p in parts) for n, parts in REWARDS.items()}
        return {**whole, **{f"reward {name}": values for name, values in sums.items()}}


def compared(own: Tensor, others: dict[str, Tensor]) -> Found:
    """Give a mean, and what it is over others', with 95 % intervals over the same users."""
    found = {"mean": float(own.mean())}
    for name, values in others.items():
        mean, low, high = mean_interval(own - values)
        found |= {f"over {name}": mean, f"over {name}, low": low, f"over {name}, high": high}
        found[f"over {name}, error"] = float((own - values).std() / len(own) ** 0.5)
    return found


def learned(folder: Path, seed: int) -> tuple[dict[str, Generator], Found]:
    """Let the generator learn on from each reward, in user model A too, and by likelihood."""
    ways, spent = {}, Found()
    for name in REWARDS:
        words = [f"--data.init_args.reward={recipe(name)}", *CHOSEN[name]]
        spent[f"{name}/cpu_seconds"] = stages(folder, seed, "reinforced", *words)
        ways[name] = Generator.load(folder / "reinforced")
    spent["sessions/cpu_seconds"] = stages(folder, seed, "generator_policy")
    ways["control"], spent["control/cpu_seconds"] = likelihood(folder, seed, max(spent.values()))
    return ways, spent


def on_the_log(made: Run, ways: Mapping[str, Generator]) -> Found:
    """Judge what was learned from rewards of slates on test users."""
    found = Found()
    validation, test = Lists(made, False), Lists(made, True)
    start = Generator.load(made.folder("generator"))
    likely = {"start": start, "control": ways["control"]}
    chosen = {name: validation.paid(way) for name, way in likely.items()}
    judged = {name: test.paid(way) for name, way in likely.items()}
    for name in REWARDS:
        key, own = f"reward {name}", test.paid(ways[name])
        # Like the stage, the control keeps the start where it is no better.
        better = chosen["control"][key].mean() > chosen["start"][key].mean()
        others = {"start": judged["start"], "control": judged["control" if better else "start"]}
        if name == "lists":
            reached = {v: float(validation.paid(start, v)[key].mean()) for v in VARIETIES}
            found["rearranged/variety"] = best = max(reached, key=lambda v: reached[v])
            others["rearranged"] = test.paid(start, best)
        for part in {"ndcg@10", *REWARDS[name]}:
            for way, values in {"reinforced": own, **others}.items():
                found[f"{name}/{way}/{part}"] = float(values[part].mean())
        for way, values in others.items():
            found[f"{name}/{way}/reward"] = float(values[key].mean())
        given = {way: values[key] for way, values in others.items()}
        found |= {f"{name}/reinforced/{n}": v for n, v in compared(own[key], given).items()}
    return found


def in_sessions(made: Run, folder: Path, seed: int) -> Found:
    """Judge what was learned in user model A in both user models."""
    # Like the stages, the control keeps the start where validation events see no gain.
    reached = {n: made.metrics(n)["validation/ndcg@10"] for n in ("generator", "control")}
    found = Found()
    policies = {
        "start": GeneratorPolicy.from_run(made),
        "control": GeneratorPolicy.from_run(made, max(reached, key=lambda n: reached[n])),
        "reinforced": Policy.load(folder / "generator_policy"),
    }
    for model in ("users_a", "users_b"):
        judge = arena(str(folder), 1_000, seed, {}, model)
        users = len(judge.users)
        played = {
            name: judge.play(policy, ROUNDS * users, seed, deterministic=True).accepted.mean(0)
            for name, policy in {**policies, "greedy": judge.policy("user-model-a")}.items()
        }
        own = played.pop("reinforced")
        found |= {f"{model}/{name}": float(values.mean()) for name, values in played.items()}
        found |= {f"{model}/reinforced/{n}": v for n, v in compared(own, played).items()}
    return found


def main() -> None:
    """Measure a seed, and write ``metrics.json``."""
    out, given, runs, what = sys.argv[1:]
    seed = int(given)
    torch.set_num_threads(1)
    folder = Path(runs) / f"seed-{seed}"
    if what == "learn":
        stages(folder, seed, "users_b")
        ways, spent = learned(folder, seed)
        found = spent | on_the_log(Run(folder), ways)
    else:
        found = in_sessions(Run(folder), folder, seed)
    print(json.dumps(found, indent=2))
    (Path(out) / "metrics.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
