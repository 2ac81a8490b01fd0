"""What language is worth on one log: how recommenders rank the test events.

The group ``closed`` has all that is solved and the learned map of the vectors, ``blend`` texts
alone and the shipped recipe, which is then compared with each of its parts. Settings and weights
are chosen on validation events.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from benchmarks.measure import Cell
from benchmarks.measure.published import compared, ranks
from lightrec.data.domain import LogMask
from lightrec.encoders.text import TextEncoder
from lightrec.evaluation.base import keys_of
from lightrec.evaluation.held_out import HeldOutLog
from lightrec.keys import Key
from lightrec.ranking.blend import RANKER, Blend
from lightrec.ranking.blend_weights import Candidates, choose_weights
from lightrec.ranking.blending import (
    FITTED,
    JUDGED,
    candidates,
    chosen,
    pruned,
    validation_events,
)
from lightrec.ranking.item_models import item_to_item as items
from lightrec.ranking.item_models.base import Evidence, ItemModel, Popularity
from lightrec.ranking.metrics import RankingResult
from lightrec.ranking.ranker import Ranker
from lightrec.ranking.sequence_data import SequenceData

EVENTS = 5_000
"""At most so many test events are ranked, drawn by the seed."""
IDS = (
    Popularity,
    items.ItemKNN,
    items.EASE,
    items.NextItemRidge,
    items.DirectionalCooccurrence,
)
"""What knows who chose what, and no texts."""
PAIRS = (
    ("mapped", "frozen"),
    ("both", "ids"),
    ("both", "mapped"),
    ("blend", "mapped"),
)
"""What is compared, paired by user."""


def weights_of(
    given: Candidates, names: Sequence[str], recommenders: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, float]]:
    """Choose the weights of each recommender's parts, which are among these names."""
    found = {}
    for name, parts in recommenders.items():
        rows = [names.index(part) for part in parts]
        own = Candidates(given.differences[rows], given.corrections, given.ranked, given.users)
        found[name] = pruned(choose_weights(own, parts)[0])
    return found


class Log:
    """A prepared log with its item models, each fitted once.

    :param folder: of the data stage.
    :param seed: of the draws.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.seed = str(folder), seed
        self.data = SequenceData(self.folder, TextEncoder(), seed=seed)
        self.judged = validation_events(self.data, JUDGED)
        self.models: dict[str, ItemModel] = {}

    def fit(self, name: str, model: ItemModel, text: Path | None = None) -> None:
        """Choose a model's settings, unless the log is not of a kind for it.

        :param text: folder of the stage `text` whose vectors it reads; None: the encoder's own.
        """
        data = self.data
        if text is not None:
            data = SequenceData(self.folder, TextEncoder(), text=str(text))
        evidence = Evidence.of(data.store, data.vectors)
        self.models |= chosen({name: model}, evidence, self.judged)

    def mixed(self, recommenders: Mapping[str, list[str]]) -> dict[str, dict[str, float]]:
        """Choose the weights of each recommender's parts."""
        blend = Blend(Ranker(self.data.num_items), self.models)
        given = candidates(blend, self.data, validation_events(self.data, FITTED))
        return weights_of(given, [RANKER, *self.models], recommenders)

    def ranked(
        self, weights: Mapping[str, Mapping[str, float]], best: Blend | None
    ) -> dict[str, RankingResult]:
        """Rank the test events by weighted parts, and by a blend that is named ``blend``."""
        blend = Blend(Ranker(self.data.num_items), self.models)

        def score(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
            said = {name: blend.logarithms(name, batch[Key.HISTORY], batch) for name in self.models}
            if best is not None:
                said["blend"] = best.scores(batch[Key.HISTORY], batch[Key.USER], details=batch)
            return {
                name: sum(weight * said[part] for part, weight in own.items() if weight)
                for name, own in weights.items()
            }

        events = HeldOutLog(EVENTS, 128).events(self.data.store, self.seed)
        return ranks(events, score, LogMask(self.data.store))


def measure(cell: Cell) -> dict[str, object]:
    """Train and rank."""
    shipped = cell["group"] == "blend"
    run = cell.run("generic", *cell.options, "--until", "ranker" if shipped else "text")
    log = Log(run.folder("data"), cell.seed)
    log.fit("frozen", items.TextNeighbours())
    log.fit("mapped", items.TextNeighbours(), run.folder("text"))
    alone, weights = ["frozen", "mapped"], dict[str, dict[str, float]]()
    if shipped:
        alone.append("blend")
    else:
        log.fit("words", items.WordNeighbours())
        for kind in IDS:
            log.fit(kind.__name__, kind())
        ids = [kind.__name__ for kind in IDS if kind.__name__ in log.models]
        weights = log.mixed({"ids": ids, "both": [*ids, "mapped", "words"]})
        alone += ["words", "Popularity"]
    weights |= {name: {name: 1.0} for name in alone}
    results = log.ranked(weights, run.blend if shipped else None)
    metrics: dict[str, object] = compared(run, cell.seed) if shipped else {}
    metrics |= {"users": log.data.store.num_users, "events": len(results["frozen"].ranks)}
    metrics |= {f"{name}/ndcg@10": each.metrics()["ndcg@10"] for name, each in results.items()}
    for one, other in PAIRS:
        for kind in ("", "kept/") if one in weights and other in weights else ():
            ahead = results[kind + one].bootstrap(results[kind + other], seed=cell.seed)
            metrics |= keys_of(f"{kind}{one}-minus-{other}/ndcg@10", ahead)
    return metrics
