"""A blend beside its parts on one log: a cell of `make bench NAME=blend`.

``python -m benchmarks.blend_run OUT SEED [lightrec run's options]`` trains data and ranker, and
ranks the test events with the blend, with the same parts under weights of highest likelihood, and
with each part alone.
"""

import json
import sys
from pathlib import Path

from lightrec.__main__ import main as lightrec
from lightrec.data.sequences import Sequences
from lightrec.data.store import TEST
from lightrec.evaluation.base import keys_of
from lightrec.evaluation.held_out import by_history, item_models
from lightrec.ranking.blend import RANKER, Blend
from lightrec.ranking.blend_weights import LIKELIHOOD, fit_weights
from lightrec.ranking.blending import candidates, fitting_events
from lightrec.ranking.evaluation_events import EvaluationEvents
from lightrec.ranking.item_models.base import Evidence, Popularity
from lightrec.ranking.metrics import evaluate_scores
from lightrec.ranking.sequence_data import SequenceData
from lightrec.run import Run

EVENTS = 8_000
"""At most so many test events are ranked."""


def likeliest(found: Run, parts: Blend) -> Blend:
    """The same parts with weights of highest likelihood."""
    if found.blend.chosen == LIKELIHOOD:
        return found.blend
    data = SequenceData(str(found.folder("data")))
    given = candidates(parts, data, fitting_events(data))
    names = [RANKER, *parts.item_models]
    weights = fit_weights(given)
    parts.weights = dict(zip(names, weights.tolist(), strict=True))
    return parts


def judged(found: Run, seed: int) -> dict[str, float | str]:
    """Rank the test events with the blend, and compare it with all else, paired by user."""
    evidence = Evidence.of(found.data, found.ranker.items.vectors)
    models = {"Popularity": Popularity().fit(evidence)} | item_models(found)
    scorers = {"blend": by_history(found.blend)}
    scorers[LIKELIHOOD] = by_history(likeliest(found, Blend(found.ranker, models)))
    scorers[RANKER] = by_history(found.ranker)
    scorers |= {name: by_history(model) for name, model in models.items()}
    events = EvaluationEvents(Sequences.all_events(found.data), TEST, None, 256, EVENTS, seed)
    results = {name: evaluate_scores(scorer, events) for name, scorer in scorers.items()}
    metrics: dict[str, float | str] = {
        "chosen": found.blend.chosen,
        "test/events": len(events.events),
    }
    for name, result in results.items():
        metrics[f"test/{name}/ndcg@10"] = result.metrics()["ndcg@10"]
        ahead = results["blend"].bootstrap(result, seed=seed)
        metrics |= keys_of(f"test/blend-minus-{name}/ndcg@10", ahead)
    return metrics


def main() -> None:
    """Train, rank, and write the metrics."""
    out, seed, *arguments = sys.argv[1:]
    run = Path(out) / "run"
    command = ["run", "generic", *arguments, "--out", str(run), "--until", "ranker"]
    if status := lightrec([*command, "--seed", seed]):
        raise SystemExit(status)
    found = Run(run)
    metrics = found.metrics("ranker") | judged(found, int(seed))
    (Path(out) / "metrics.json").write_text(json.dumps(metrics))


if __name__ == "__main__":
    main()
