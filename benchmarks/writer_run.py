"""A language model beside a generator, on some users of a log: `make bench NAME=writer`.

``python -m benchmarks.writer_run KIND OUT SEED FOLDER`` draws users of the log in a folder and
trains a generator. ``titles`` then trains a language model to re-rank what it puts first by titles;
``language`` lets the model join the generator, beside a control, the same stage without the model.
All weights are chosen on validation events.
"""

import json
import shutil
import sys
import time
from pathlib import Path

import polars as pl
import torch
from lightrec_generate.generator import Generator
from lightrec_generate.reranking import Lists, choose_weight, lists_of
from torch import Tensor

from benchmarks.tuning_speed import BFLOAT16
from lightrec.__main__ import main as lightrec
from lightrec.data.sequences import Sequences
from lightrec.data.store import TEST, VALIDATION
from lightrec.evaluation.base import keys_of
from lightrec.ranking.evaluation_events import EvaluationEvents
from lightrec.run import Run

USERS = 1_000
AT_ONCE = 16
WITHOUT = ["--language.model.init_args.generator", "TreeGenerator"]
SHORT = [
    *("--language.model.init_args.generator.init_args.words", "8"),
    *("--language.data.init_args.max_validated", "50"),  # there is one epoch, and none to choose
]
Found = dict[str, float]


def cut(source: Path, folder: Path, seed: int) -> list[str]:
    """Write the events of users that the seed draws, and their items; gives run's options."""
    folder.mkdir()
    log = pl.read_csv(source / "log.csv")
    users = log["user"].unique().sort().sample(USERS, seed=seed)
    log = log.filter(pl.col("user").is_in(users.implode()))
    log.write_csv(folder / "log.csv")
    items = pl.read_csv(source / "items.csv").filter(pl.col("item").is_in(log["item"].implode()))
    items.write_csv(folder / "items.csv")
    files = ["--log", str(folder / "log.csv"), "--items", str(folder / "items.csv")]
    # So few users would give ten epochs of the recipe's batches few steps.
    return [*files, "--data.k_core", "0", "--generator.data.init_args.batch_size", "32"]


def run_of(folder: Path, recipes: str, seed: str, options: list[str]) -> tuple[Run, float]:
    """Make what a run lacks; gives the CPU seconds that it took, too."""
    began = time.process_time()
    if status := lightrec(["run", recipes, *options, "--out", str(folder), "--seed", seed]):
        raise SystemExit(status)
    return Run(folder), time.process_time() - began


def lists(run: Run, first: Generator, part: int) -> Lists:
    """Give what the generator puts first at the events of a part."""
    batches = EvaluationEvents(Sequences.all_events(run.data), part, None, 128, None, 0)
    return lists_of(first, batches)


@torch.no_grad()
def added(made: Generator, given: Lists) -> Tensor:
    """Give log-probabilities of lists' items; 0 where what came is not listed, a miss anyway."""
    found, own = torch.zeros_like(given.scores), given.only(given.listed)
    parts = zip(own.histories.split(AT_ONCE), own.items.split(AT_ONCE), strict=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=BFLOAT16):
        laws = [made.scores(histories).gather(1, items) for histories, items in parts]
    found[given.listed] = torch.cat(laws)
    return found


def language(out: Path, seed: str, options: list[str]) -> Found:
    """Let the language model join the generator, and re-rank by what comes of it."""
    precision = [] if BFLOAT16 else ["--language.trainer.precision", "32-true"]
    options += [*SHORT, *precision]
    recipes = "language-generator"
    first, _ = run_of(out / "run", recipes, seed, [*options, "--until", "generator"])
    shutil.copytree(first.path, out / "without")
    run, seconds = run_of(first.path, recipes, seed, options)
    control, _ = run_of(out / "without", recipes, seed, [*options, *WITHOUT])
    made = Generator.load(first.folder("generator"))
    given = {part: lists(run, made, part) for part in (VALIDATION, TEST)}
    results = {"first": given[TEST].ranked(given[TEST].scores)}
    found: Found = {"stage/cpu_seconds": seconds, "test/events": len(given[TEST].users)}
    for name, each in (("reader", run), ("without", control)):
        scorer = Generator.load(each.folder("language"))
        extra = {part: added(scorer, own) for part, own in given.items()}
        weight = found[f"{name}/weight"] = choose_weight(given[VALIDATION], extra[VALIDATION])
        results[name] = given[TEST].ranked(given[TEST].scores + weight * extra[TEST])
        # What comes of equal parts, whatever validation says.
        results[f"{name}, even"] = given[TEST].ranked(given[TEST].scores + extra[TEST])
    for name, result in results.items():
        found[f"test/{name}/ndcg@10"] = result.metrics([10])["ndcg@10"]
        gain = result.bootstrap(results["first"])
        found |= keys_of(f"test/{name}-minus-first/ndcg@10", gain)
    return found


def main() -> None:
    """Train, measure, and write the metrics."""
    out, seed, source = sys.argv[1:]
    options = cut(Path(source), Path(out) / "cut", int(seed))
    found = language(Path(out), seed, options)
    (Path(out) / "metrics.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
