"""What a generator adds to the blend: a cell of `make bench NAME=generate`.

``python -m benchmarks.generate_blend OUT SEED [lightrec run's options] [-- the generator's]``
trains a generator, and the ranker with its blend twice: as `generic` has it, and with
GeneratorShares among the item models. Test events are compared, paired by user.
"""

import json
import sys
from pathlib import Path

import yaml
from lightrec_generate.in_blend import GeneratorShares

from lightrec.__main__ import main as lightrec
from lightrec.data.sequences import Sequences
from lightrec.data.store import TEST
from lightrec.evaluation.base import keys_of
from lightrec.evaluation.held_out import by_history
from lightrec.ranking.evaluation_events import EvaluationEvents
from lightrec.ranking.metrics import evaluate_scores
from lightrec.run import Run

RECIPE = Path(__file__).parents[1] / "recipes" / "generic" / "ranker.yaml"
NAME = GeneratorShares.__name__


def main() -> None:
    """Train, rank, and write the metrics."""
    out, seed, *arguments = sys.argv[1:]
    place = arguments.index("--") if "--" in arguments else len(arguments)
    given, own = arguments[:place], arguments[place + 1 :]
    alone = Path(out) / "generator"
    parts = yaml.safe_load(RECIPE.read_text())["model"]["init_args"]["item_models"]
    parts.append({"class_path": NAME, "init_args": {"generator": str(alone)}})
    heard = ["--until", "ranker", "--ranker.model.init_args.item_models", json.dumps(parts)]
    commands = {
        "generator": ["generator-alone", *given, *own],
        "without": ["generic", *given, "--until", "ranker"],
        "with": ["generic", *given, *heard],
    }
    for name, command in commands.items():
        where = ["--out", str(Path(out) / name), "--seed", seed]
        if status := lightrec(["run", *command, *where]):
            raise SystemExit(status)
    runs = {name: Run(Path(out) / name) for name in ("without", "with")}
    events = EvaluationEvents(Sequences.all_events(runs["with"].data), TEST, None, 256, None, 0)
    results = {name: evaluate_scores(by_history(run.blend), events) for name, run in runs.items()}
    ahead = results["with"].bootstrap(results["without"], seed=int(seed))
    metrics = {f"{name}/ndcg@10": result.metrics()["ndcg@10"] for name, result in results.items()}
    metrics["weight"] = runs["with"].blend.weights[NAME]
    metrics |= {f"{name}/chosen": run.blend.chosen for name, run in runs.items()}
    metrics |= keys_of("ahead/ndcg@10", ahead)
    (Path(out) / "metrics.json").write_text(json.dumps(metrics))


if __name__ == "__main__":
    main()
