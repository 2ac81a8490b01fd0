"""What language is worth on one log: a cell of `make bench NAME=language`.

``python -m benchmarks.language_run OUT GROUP SEED [lightrec run's options]`` ranks the test events
by a group of contenders: ``closed`` has all that is solved and the learned map of the vectors,
``tuned`` texts alone with the encoder's upper layers tuned, ``blend`` texts alone and the shipped
recipe, which is then compared with each of its parts. Settings and weights are chosen on validation
events.
"""

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import torch

from benchmarks.blend_run import judged
from benchmarks.tuning_speed import BFLOAT16
from lightrec.__main__ import main as lightrec
from lightrec.data.sequences import Sequences
from lightrec.data.store import TEST
from lightrec.encoders.text import TextEncoder
from lightrec.errors import NotApplicable
from lightrec.evaluation.base import keys_of
from lightrec.keys import Key
from lightrec.ranking.blend import RANKER, Blend
from lightrec.ranking.blend_weights import Candidates, choose_weights
from lightrec.ranking.blending import (
    JUDGED,
    candidates,
    fitting_events,
    heard,
    judge,
    scorer,
    validation_events,
)
from lightrec.ranking.evaluation_events import EvaluationEvents
from lightrec.ranking.item_models import item_to_item as items
from lightrec.ranking.item_models.base import Evidence, ItemModel, Popularity, choose
from lightrec.ranking.metrics import RankingResult, mean_ranks
from lightrec.ranking.ranker import Ranker
from lightrec.ranking.sequence_data import SequenceData
from lightrec.run import Run

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
    ("tuned", "mapped"),
    ("both", "ids"),
    ("both", "mapped"),
    ("blend", "mapped"),
)
"""What is compared, paired by user."""
LAYERS = ["--text.model.init_args.tune", "layers", "--text.trainer.max_epochs", "6"]
LAYERS += ["--text.trainer.precision", "bf16-mixed"] if BFLOAT16 else []


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
        self.values: dict[str, float] = {}
        """NDCG@10 on validation events."""
        self.seconds: dict[str, float] = {}
        """CPU time."""

    def fit(self, name: str, model: ItemModel, text: Path | None = None) -> None:
        """Choose a model's settings, unless the log is not of a kind for it.

        :param text: folder of the stage `text` whose vectors it reads; None: the encoder's own.
        """
        begin = time.process_time()
        data = self.data
        if text is not None:
            data = SequenceData(self.folder, TextEncoder(), text=str(text))
        evidence = Evidence.of(data.store, data.vectors)
        try:
            self.models[name], self.values[name] = choose(
                model, evidence, lambda own: judge(scorer(own), self.judged)["ndcg@10"]
            )
        except NotApplicable as reason:
            print(f"{name} is left out. {reason}", file=sys.stderr)
        self.seconds[name] = time.process_time() - begin

    def mixed(self, contenders: Mapping[str, list[str]]) -> dict[str, dict[str, float]]:
        """Choose the weights of each contender's parts."""
        blend = Blend(Ranker(self.data.num_items), self.models)
        given, found = candidates(blend, self.data, fitting_events(self.data)), {}
        names = [RANKER, *self.models]
        for name, parts in contenders.items():
            begin, rows = time.process_time(), [names.index(part) for part in parts]
            own = Candidates(given.differences[rows], given.corrections, given.ranked, given.users)
            found[name] = heard(choose_weights(own, parts)[0])
            own_seconds = time.process_time() - begin
            self.seconds[name] = own_seconds + sum(self.seconds[part] for part in parts)
        return found

    @torch.no_grad()
    def ranked(
        self, weights: Mapping[str, Mapping[str, float]], best: Blend | None
    ) -> dict[str, RankingResult]:
        """Rank the test events; under names with ``kept/`` among items already seen, too."""
        blend = Blend(Ranker(self.data.num_items), self.models)
        log = Sequences.all_events(self.data.store)
        events = EvaluationEvents(log, TEST, None, 128, EVENTS, self.seed)
        ranks: dict[str, list[torch.Tensor]] = {}
        for batch in events:
            said = {name: blend.logarithms(name, batch[Key.HISTORY], batch) for name in self.models}
            if best is not None:
                said["blend"] = best.scores(batch[Key.HISTORY], batch[Key.USER], details=batch)
            for name, own in weights.items():
                scores = sum(weight * said[part] for part, weight in own.items() if weight)
                for kind, seen in (("", batch[Key.SEEN]), ("kept/", None)):
                    found = mean_ranks(scores, batch[Key.TARGET], seen)
                    ranks.setdefault(kind + name, []).append(found)
        users, targets = map(torch.from_numpy, (events.users, events.targets))
        return {name: RankingResult(users, targets, torch.cat(own)) for name, own in ranks.items()}


def stages(out: Path, options: list[str], until: str) -> tuple[Path, float]:
    """Run stages, and give the run's folder and the CPU time."""
    begin = time.process_time()
    if status := lightrec(["run", "generic", *options, "--out", str(out), "--until", until]):
        raise SystemExit(status)
    return out, time.process_time() - begin


def measured(out: Path, group: str, seed: int, options: list[str]) -> dict[str, object]:
    """Train and rank."""
    until = "ranker" if group == "blend" else "text"
    run, seconds = stages(out / "run", [*options, "--seed", str(seed)], until)
    log = Log(run / "data", seed)
    log.fit("frozen", items.TextNeighbours())
    log.fit("mapped", items.TextNeighbours(), run / "text")
    texts, weights = ["frozen", "mapped"], dict[str, dict[str, float]]()
    if group == "tuned":
        other, more = stages(out / "layers", [*options, "--seed", str(seed), *LAYERS], "text")
        log.fit("tuned", items.TextNeighbours(), other / "text")
        log.seconds["tuned"] += more
        texts.append("tuned")
    if group != "blend":
        log.seconds["mapped"] += seconds
    if group == "closed":
        log.fit("words", items.WordNeighbours())
        for kind in IDS:
            log.fit(kind.__name__, kind())
        ids = [kind.__name__ for kind in IDS if kind.__name__ in log.models]
        weights = log.mixed({"ids": ids, "both": [*ids, "mapped", "words"]})
        texts += ["words", "Popularity"]
    best = Run(run).blend if group == "blend" else None
    if best is not None:
        log.seconds["blend"] = seconds
        texts.append("blend")
    weights |= {name: {name: 1.0} for name in texts}
    results = log.ranked(weights, best)
    metrics: dict[str, object] = {f"{name}/cpu_seconds": log.seconds[name] for name in weights}
    metrics |= {f"{name}/validation/ndcg@10": log.values[name] for name in log.values}
    metrics |= {f"{name}/weight/{part}": w for name in weights for part, w in weights[name].items()}
    metrics |= json.loads((run / "text" / "metrics.json").read_text())
    if group == "blend":
        metrics |= judged(Run(run), seed)
    metrics["users"], metrics["items"] = log.data.store.num_users, log.data.num_items
    metrics["events"] = len(results["frozen"].ranks)
    for name, result in results.items():
        found = result.metrics()
        metrics |= {f"{name}/{kind}": found[kind] for kind in ("ndcg@10", "recall@10")}
    for one, other in PAIRS:
        for kind in ("", "kept/") if one in weights and other in weights else ():
            ahead = results[kind + one].bootstrap(results[kind + other], seed=seed)
            metrics |= keys_of(f"{kind}{one}-minus-{other}/ndcg@10", ahead)
    return metrics


if __name__ == "__main__":
    place, chosen, number, *rest = sys.argv[1:]
    made = measured(Path(place), chosen, int(number), rest)
    (Path(place) / "metrics.json").write_text(json.dumps(made))
