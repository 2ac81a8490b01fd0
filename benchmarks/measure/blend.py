"""A blend beside its parts on one log, and beside the same parts under other weights."""

from benchmarks.measure import Cell
from lightrec.data.sequences import Sequences
from lightrec.data.store import TEST
from lightrec.evaluation.base import keys_of
from lightrec.evaluation.held_out import item_models
from lightrec.ranking.blend import RANKER, Blend
from lightrec.ranking.blend_weights import LIKELIHOOD, fit_weights
from lightrec.ranking.blending import FITTED, candidates, validation_events
from lightrec.ranking.evaluation_events import EvaluationEvents
from lightrec.ranking.item_models.base import Evidence, Popularity
from lightrec.ranking.metrics import evaluate_scores
from lightrec.ranking.scorers import by_history
from lightrec.ranking.sequence_data import SequenceData
from lightrec.run import Run

EVENTS = 8_000
"""At most so many test events are ranked."""


def likeliest(run: Run, parts: Blend) -> Blend:
    """The same parts with weights of highest likelihood."""
    if run.blend.chosen == LIKELIHOOD:
        return run.blend
    data = SequenceData(str(run.folder("data")))
    given = candidates(parts, data, validation_events(data, FITTED))
    names = [RANKER, *parts.item_models]
    weights = fit_weights(given)
    parts.weights = dict(zip(names, weights.tolist(), strict=True))
    return parts


def judged(run: Run, seed: int) -> dict[str, float | str]:
    """Rank the test events with the blend, and compare it with all else, paired by user."""
    evidence = Evidence.of(run.data, run.ranker.items.vectors)
    models = {"Popularity": Popularity().fit(evidence)} | item_models(run)
    scorers = {"blend": by_history(run.blend)}
    scorers[LIKELIHOOD] = by_history(likeliest(run, Blend(run.ranker, models)))
    scorers[RANKER] = by_history(run.ranker)
    scorers |= {name: by_history(model) for name, model in models.items()}
    events = EvaluationEvents(Sequences.all_events(run.data), TEST, None, 256, EVENTS, seed)
    results = {name: evaluate_scores(scorer, events) for name, scorer in scorers.items()}
    metrics: dict[str, float | str] = {
        "chosen": run.blend.chosen,
        "test/events": len(events.events),
    }
    for name, result in results.items():
        metrics[f"test/{name}/ndcg@10"] = result.metrics()["ndcg@10"]
        ahead = results["blend"].bootstrap(result, seed=seed)
        metrics |= keys_of(f"test/blend-minus-{name}/ndcg@10", ahead)
    return metrics


def measure(cell: Cell) -> dict[str, float | str]:
    """Train data and ranker, and rank the test events with the blend and each of its parts."""
    run = cell.run("generic", *cell.options, "--until", "ranker")
    return run.metrics("ranker") | judged(run, cell.seed)
