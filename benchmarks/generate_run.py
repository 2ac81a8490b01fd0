"""A generator on one log, or on a made-up catalog: a cell of `make bench NAME=generate`.

``python -m benchmarks.generate_run OUT SEED ranks|checks|new [lightrec run's options]`` trains
identifiers and a generator, and ranks held-out events; ``million`` needs no log.
"""

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from lightrec_generate.decoding import beam
from lightrec_generate.generator import Generator
from lightrec_generate.identifiers import Identifiers
from lightrec_generate.policy import GeneratorPolicy
from lightrec_generate.tree import TreeGenerator
from torch import Tensor

from lightrec.__main__ import main as lightrec
from lightrec.data.sequences import Sequences
from lightrec.data.store import COLD, TEST, VALIDATION
from lightrec.encoders.base import item_vectors
from lightrec.encoders.text import TextEncoder
from lightrec.keys import PADDING, Key
from lightrec.ranking.evaluation_events import EvaluationEvents
from lightrec.ranking.item_models.base import Evidence
from lightrec.ranking.item_models.item_to_item import TextNeighbours
from lightrec.ranking.metrics import evaluate_scores
from lightrec.run import Run

METRICS = ("ndcg@10", "recall@10")
FEW = 2_000
"""So many test events are decoded by beams."""
USERS, SLATE = 20_000, 50
"""So many slates are drawn, a million items in all."""
LOST = 0.06
"""The share of NDCG@10 that other items' validation events may lose by new ones."""
STEP = 0.01
"""How finely the share of new items is searched."""
Found = dict[str, float]


@torch.no_grad()
def ranks(run: Run, made: Generator, seed: int) -> Found:
    """Rank the test events by the exact law, with seen items removed, and kept."""
    events = EvaluationEvents(Sequences.all_events(run.data), TEST, None, 256, None, seed)
    found: Found = {"events": len(events.events), **run.metrics("generator")}
    began = time.process_time()
    for batch in events:
        made.scores(batch[Key.HISTORY])
    found["ms a user"] = 1e3 * (time.process_time() - began) / len(events.events)
    off: list[float] = []

    def scores(batch: Mapping[str, Tensor]) -> Tensor:
        law = made.scores(batch[Key.HISTORY])
        off.append(float((law.double().exp().sum(1) - 1).abs().max()))
        return law

    for name, filtered in (("removed", True), ("kept", False)):
        result = evaluate_scores(scores, events, filtered)
        found |= {f"{name}/{metric}": result.metrics()[metric] for metric in METRICS}
    found["off one"] = max(off)
    codes = made.identifiers.codes[1:]
    found["shared"] = len(codes) - len(codes.unique(dim=0))
    return found


@torch.no_grad()
def checks(run: Run, made: TreeGenerator, seed: int) -> Found:
    """Compare beams with the exact ranking, and draw a million items under a filter."""
    events = EvaluationEvents(Sequences.all_events(run.data), TEST, None, 256, FEW, seed)
    chance = torch.Generator().manual_seed(seed)
    half = torch.rand(run.data.num_items + 1, generator=chance) < 0.5
    found: Found = {}
    for name, filtered in (("seen removed", None), ("half may be shown", half)):

        def shown(batch: Mapping[str, Tensor], filtered: Tensor | None = filtered) -> Tensor:
            may = torch.ones(len(batch[Key.TARGET]), made.num_items + 1, dtype=torch.bool)
            may = may if filtered is None else may & filtered
            may = may.scatter(1, batch[Key.SEEN], False)
            return may.scatter(1, batch[Key.TARGET][:, None], True)

        def exact(batch: Mapping[str, Tensor]) -> Tensor:
            return made.scores(batch[Key.HISTORY]).masked_fill(~shown(batch), -torch.inf)

        def beamed(batch: Mapping[str, Tensor]) -> Tensor:
            written = beam(made, made.user_vectors(batch[Key.HISTORY]), 50, shown(batch))
            scores = torch.full((len(written.items), made.num_items + 1), -torch.inf)
            return scores.scatter(1, written.items, written.log_probabilities)

        for way, scores in (("exact", exact), ("beam", beamed)):
            found[f"{way}, {name}"] = evaluate_scores(scores, events).metrics()["ndcg@10"]
    found["beam, nothing removed"], found["exact, nothing removed"] = (
        evaluate_scores(scores, events, filter_seen=False).metrics()["ndcg@10"]
        for scores in (
            lambda b: torch.full((len(b[Key.TARGET]), made.num_items + 1), -torch.inf).scatter(
                1, *beam(made, made.user_vectors(b[Key.HISTORY]), 50)[:2]
            ),
            lambda b: made.scores(b[Key.HISTORY]),
        )
    )
    return found | drawn(run, made, seed)


@torch.no_grad()
def drawn(run: Run, made: Generator, seed: int) -> Found:
    """Draw a million items where a tenth of the catalog may be shown, less what was seen."""
    torch.manual_seed(seed)
    policy, count, wrong = GeneratorPolicy(made), 0, 0
    events = EvaluationEvents(Sequences.all_events(run.data), TEST, None, 256, USERS, seed)
    for batch in events:
        mask = torch.rand(len(batch[Key.TARGET]), made.num_items + 1) < 0.1
        mask = mask.scatter(1, batch[Key.SEEN], False)
        mask[:, PADDING] = False
        state = {Key.HISTORY: batch[Key.HISTORY], Key.MASK: mask}
        slate = policy.distribution(state, SLATE).sample()
        count += slate.numel()
        wrong += int((~mask.gather(1, slate)).sum())
    return {"drawn": count, "drawn, not to be shown": wrong}


@torch.no_grad()
def new(run: Run, seed: int) -> Found:
    """Rank events of items that no training event names, and what the others lose by these items.

    New items' share is the largest by which warm validation events lose ``LOST`` at most.
    """
    store, folder = run.data, run.folder("generator")
    cold = torch.from_numpy(store.popularity() == 0)
    events = {
        part: EvaluationEvents(Sequences.all_events(store), targets, None, 256, None, seed)
        for part, targets in (
            ("validation", VALIDATION),
            ("test", TEST),
            ("new", Sequences.targets(store, COLD)),
        )
    }

    def ndcg(made: Generator, part: str) -> float:
        scores = lambda b: made.scores(b[Key.HISTORY])  # noqa: E731
        return evaluate_scores(scores, events[part]).metrics()["ndcg@10"]

    found: Found = {"new items": int(cold[1:].sum()), "new events": len(events["new"].events)}
    per_share = int((~cold[1:]).sum()) / found["new items"]

    def sharing(share: float) -> Generator:
        return TreeGenerator.from_pretrained(folder, fresh=share / (1 - share) * per_share)

    alone, least, most = sharing(0.0), 0.0, 1.0
    without = ndcg(alone, "validation")
    while most - least > STEP:
        share = (least + most) / 2
        lost = 1 - ndcg(sharing(share), "validation") / without
        least, most = (share, most) if lost <= LOST else (least, share)
        found |= {"share": least} | ({"validation/lost": lost} if lost <= LOST else {})
    made = sharing(least)
    found["warm, without new/ndcg@10"] = ndcg(alone, "test")
    found["warm/ndcg@10"] = ndcg(made, "test")
    vectors = item_vectors(TextEncoder(), store.catalog)
    texts = TextNeighbours().fit(Evidence.of(store.without_cold, vectors))
    for name, scorer in (("generator", made), ("text neighbours", texts)):
        for among, hidden in (("all", torch.zeros_like(cold)), ("new", ~cold)):

            def scores(batch: Mapping[str, Tensor], own=scorer, hidden=hidden) -> Tensor:
                return own.scores(batch[Key.HISTORY]).masked_fill(hidden, -torch.inf)

            result = evaluate_scores(scores, events["new"])
            found[f"{name}/recall@10 among {among}"] = result.metrics()["recall@10"]
    return found


def million(seed: int, items: int = 1_000_000, users: int = 64, width: int = 20) -> Found:
    """Time a beam over a made-up catalog, beside one that writes any digits at all."""
    torch.manual_seed(seed)
    identifiers = Identifiers(items, 0, 64, 4, 256)
    codes = torch.randint(0, 256, (items + items // 50, 4)).unique(dim=0)
    identifiers.codes[1:] = codes[torch.randperm(len(codes))[:items]]
    made = TreeGenerator(identifiers).eval()
    vectors, shown = torch.randn(users, made.size), torch.rand(items + 1) < 0.5
    ways = {
        "free": lambda: free(made, vectors, width),
        "beam": lambda: beam(made, vectors, width),
        "beam, half may be shown": lambda: beam(made, vectors, width, shown),
    }
    found = {}
    for name, way in ways.items():
        way()
        times = []
        for _ in range(7):
            began = time.process_time()
            way()
            times.append(time.process_time() - began)
        found[f"{name}/ms a token"] = 1e3 * sorted(times)[3] / (users * identifiers.digits)
    return found


@torch.no_grad()
def free(made: TreeGenerator, users: Tensor, width: int) -> Tensor:
    """Write the most likely digits, whether an item has them or not."""
    total, codes = users.new_zeros(len(users), 1), torch.zeros(len(users), 1, 0).long()
    for depth in range(made.identifiers.digits):
        logits = made.asked(depth, users.unsqueeze(1), codes) @ made.written[depth].T
        found = (logits.log_softmax(-1) + total.unsqueeze(-1)).flatten(1)
        best = found.topk(min(width, found.shape[1]), dim=1)
        above = (best.indices // made.identifiers.size).unsqueeze(-1).expand(-1, -1, depth)
        digits = (best.indices % made.identifiers.size).unsqueeze(-1)
        codes, total = torch.cat([codes.gather(1, above), digits], -1), best.values
    return codes


def main() -> None:
    """Train, measure, and write the metrics."""
    out, seed, what, *arguments = sys.argv[1:]
    if what == "million":
        found = million(int(seed))
    else:
        folder = Path(out) / "run"
        command = ["run", "generator-alone", *arguments, "--out", str(folder)]
        began = time.process_time()
        if status := lightrec([*command, "--seed", seed]):
            raise SystemExit(status)
        run = Run(folder)
        found = {"training/cpu_seconds": time.process_time() - began}
        made = Generator.load(run.folder("generator"))
        found |= new(run, int(seed)) if what == "new" else ranks(run, made, int(seed))
        if what == "checks":
            found |= checks(run, made, int(seed))
    (Path(out) / "metrics.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
