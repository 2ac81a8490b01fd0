"""A cell of `make bench NAME=wishes`: NDCG@10 of wishes that are made up for test events.

``python -m benchmarks.wishes_run SEED OUT LOG [ITEMS]`` trains data and ranker, with the recipes
``video`` where the log has its own items. Near words of the test come from the half of the
vocabulary that learning did not know, and are near by the encoder as it was before it was tuned.
"""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import Tensor

from lightrec.data.sequences import Sequences
from lightrec.data.store import TEST, VALIDATION
from lightrec.encoders.text import TextEncoder
from lightrec.encoders.words import words_of
from lightrec.keys import Column, Key
from lightrec.ranking.blend import log_shares
from lightrec.ranking.evaluation_events import EvaluationEvents
from lightrec.ranking.item_models.base import popular
from lightrec.ranking.wishes import ALONE, EVENTS, HISTORY, SOUGHT, Wishes
from lightrec.run import Run
from lightrec.stages.run import run

TESTED = 3_000


class Vectors(Wishes):
    """Reads wishes by vectors alone."""

    def _lift(self, word: str) -> Tensor:
        return torch.zeros(self.table.shape[0])


def made_up(wishes: Wishes, titles: list[list[str]], genres: list[list[str]], items: Sequence[int]):
    """Make wishes of one title word, of three near words and, where there are genres, of one."""
    rng = np.random.default_rng(1)
    known = wishes._vocabulary[0]
    found: dict[str, list[str]] = {"title-word": [], "near-words": [], "genre": []}
    for item in items:
        own = titles[item - 1]
        found["title-word"].append(str(rng.choice(own)) if own else "")
        common = [word for word in own if word in known and not word.isdigit()]
        near = ""
        if len(common) >= 3:
            chosen = rng.choice(common, 3, replace=False)
            near = " ".join(wishes.near(str(word), {*own}, rng, half=1) for word in chosen)
        found["near-words"].append(near)
        found["genre"].append(str(rng.choice(genres[item - 1])) if genres[item - 1] else "")
    return {name: each for name, each in found.items() if any(each)}


def main(seed: int, out: Path, log: Path, items: Path | None = None) -> None:
    """Train, and write the metrics."""
    out.mkdir(parents=True, exist_ok=True)
    domain = "generic" if items else "video"
    made = run(domain, out=out / "run", log=log, items=items, seed=seed, until="ranker")
    (out / "metrics.json").write_text(json.dumps(measured(Run(made))))


@torch.no_grad()
def measured(found: Run) -> dict[str, float]:
    """Learn each way of reading, and rank the test events by it."""
    store, blend, seed = found.data, found.blend, int(found.stamp("ranker")["seed"])
    sequences, encoder = Sequences.all_events(store), found.wishes.encoder
    untuned = Wishes(store, blend.ranker.items, TextEncoder())
    events = EvaluationEvents(sequences, VALIDATION, None, 128, EVENTS, seed)
    ways, metrics = dict[str, Wishes](), dict[str, float]()
    for name, kind, by in (
        ("both", Wishes, encoder),
        ("words", Wishes, None),
        ("vectors", Vectors, encoder),
    ):
        begin = time.process_time()
        learned = kind.learn(blend, store, by, events, seed)
        assert learned is not None
        ways[name], metrics[f"{name}/cpu_seconds"] = learned, time.process_time() - begin
        for each in (HISTORY, ALONE):
            places = zip(("before", "wish"), learned.settings[each], strict=True)
            metrics |= {f"{name}/{each}/weight/{place}": weight for place, weight in places}
        metrics |= {f"{name}/{each}": learned.settings[each] for each in SOUGHT}
    titles = [[*dict.fromkeys(words_of(t or ""))] for t in store.catalog[Column.TITLE]]
    genres: list[list[str]] = [[] for _ in titles]
    if "genres" in store.catalog.columns:
        genres = store.catalog["genres"].cast(pl.List(pl.String)).fill_null([]).to_list()
    prior = log_shares(popular(store).scores(torch.zeros(1, 1).long()), blend.smoothing)
    gains: dict[str, list[float]] = {}
    for batch in EvaluationEvents(sequences, TEST, None, 128, TESTED, seed):
        target = batch[Key.TARGET]
        history = blend.scores(batch[Key.HISTORY], batch[Key.USER], details=batch)
        history = history.scatter(1, batch[Key.SEEN], -torch.inf)
        alone = prior.expand_as(history).masked_fill(history == -torch.inf, -torch.inf)
        said = {HISTORY: history, ALONE: alone}
        for kind, scores in said.items():
            gains.setdefault(f"without/{kind}", []).extend(gain(scores, target).tolist())
        for test, wishes in made_up(untuned, titles, genres, target.tolist()).items():
            rows = [row for row, wish in enumerate(wishes) if words_of(wish)]
            for name, way in ways.items():
                read = way.read([wishes[row] for row in rows])
                wished = torch.stack([way.likelihood(each) for each in read])
                for kind, scores in said.items():
                    before, weight = way.settings[kind]
                    values = gain(before * scores[rows] + weight * wished, target[rows])
                    gains.setdefault(f"{test}/{name}/{kind}", []).extend(values.tolist())
    for name, values in gains.items():
        metrics[f"{name}/ndcg@10"] = float(np.mean(values))
        metrics[f"{name}/error"] = float(np.std(values) / len(values) ** 0.5)
        metrics[f"{name}/events"] = len(values)
    return metrics


def gain(scores: Tensor, target: Tensor) -> Tensor:
    """NDCG@10 of each row, equal scores by half."""
    own = scores.gather(1, target[:, None])
    rank = (scores > own).sum(1) + ((scores == own).sum(1) - 1) / 2
    return (1 / (rank + 2).log2()) * (rank < 10)


if __name__ == "__main__":
    main(int(sys.argv[1]), *map(Path, sys.argv[2:]))
