"""Do reasons in words name what matters, and nothing else? `make bench NAME=reasons`.

On MovieLens-100K, the sample of the domain ``video``, 500 users get slates of five with reasons, by
the blend and by its ranker alone. Then every event of their histories is deleted in turn, by this
file's own code, and each item is scored anew: an event that is named should be among the three
whose deletion moves the item's score most. ``--run FOLDER`` takes a run that has a ranker;
otherwise one is trained.
"""

import json
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean, median
from time import process_time

import numpy as np
import torch
from lightrec_audit.explain import explain
from lightrec_generate.language_readers import WHEEL, Decoder
from lightrec_generate.reasons import FIRST, LEAST, Reason, reasons

from benchmarks.cells import markdown, on_a_run, trained
from lightrec.keys import PADDING, Key
from lightrec.recommend import Recommender

SEED = 0
SLATES, K, NAMED = 500, 5, 2
WRITTEN = 20
"""So many slates are worded by the decoder, too."""
UNCHECKED = 100
"""In so many slates the events that add most are looked at without any check."""
QUOTED = re.compile("“(.+?)”")
MOVED = ("probability", "score")
"""What a deletion moves: the item's log-probability, or its bare score."""
HEAD = [
    "what ranks",
    "slates in which all that is named is among the three that move the probability most",
    "the score",
    "the same of the two events that add most, unchecked",
    "items for which an event is named",
    "slates with one",
    "what the item loses without it, median",
    "CPU ms a slate: median, worded by the decoder",
]


@torch.no_grad()
def moves(recommender: Recommender, user: str, items: list[int]) -> dict[str, np.ndarray]:
    """Delete each event of a user: how far do the items' log-probabilities and scores move?

    :returns: (L, K) each.
    """
    known = recommender.person(user).known
    history = known[Key.HISTORY][0]
    length = len(history)
    cut = {
        name: torch.stack([torch.cat([row[:at], row[at + 1 :]]) for at in range(length)])
        for name, (row,) in known.items()
        if name in (Key.HISTORY, Key.FEEDBACK, Key.GAP)
    }
    person = known[Key.USER]

    def scored(tables: dict[str, torch.Tensor]) -> torch.Tensor:
        own = tables[Key.HISTORY]
        scores = recommender.model.scores(own, person.expand(len(own)), details=tables)
        scores[:, history] = -torch.inf
        scores[:, PADDING] = -torch.inf
        return scores

    whole, parts = scored(known), scored(cut)
    fell = {
        "probability": (whole.log_softmax(1) - parts.log_softmax(1))[:, items],
        "score": (whole - parts)[:, items],
    }
    return {name: table.abs().numpy() for name, table in fell.items()}


def true(moved: np.ndarray, named: list[list[int]]) -> bool:
    """Say whether all events that are named are among the first that move their item.

    :param moved: (L, K).
    :param named: places in the history, of each of the K items.
    """
    for column, places in zip(moved.T, named, strict=True):
        least = np.sort(column)[-min(FIRST, len(column))]
        if any(column[place] < least - 1e-5 for place in places):  # equal ones share their rank
            return False
    return True


def judged(recommender: Recommender, writer: Decoder | None) -> dict[str, float]:
    """Give reasons for slates of users who are drawn by the seed."""
    users = np.random.default_rng(SEED).permutation(recommender.store.num_users)[:SLATES]
    ids = [recommender.store.user_ids[int(row)] for row in users]
    reasons(recommender, ids[0], k=K)
    spent, spent_writing, lost, items_named, unchecked = ([] for _ in range(5))
    slates, right = list[bool](), {name: list[bool]() for name in MOVED}
    for number, user in enumerate(ids):
        begin = process_time()
        found = reasons(recommender, user, k=K, events=NAMED)
        spent.append(1000 * (process_time() - begin))
        items = [recommender.item(reason.item) for reason in found]
        moved = moves(recommender, user, items)
        named = [[event.position - 1 for event in reason.events] for reason in found]
        for name in MOVED:
            right[name].append(true(moved[name], named))
        if number < UNCHECKED:
            first = [
                explain(recommender, user, item=reason.item, k=K, words=False).events[:NAMED]
                for reason in found
            ]
            places = [[event.position - 1 for event in events] for events in first]
            unchecked.append(true(moved["probability"], places))
        items_named += [bool(events) for events in named]
        slates.append(any(named))
        lost += [event.lost for reason in found for event in reason.events]
        assert all(said_rightly(reason) for reason in found)
        if writer is not None and number < WRITTEN:
            begin = process_time()
            written = reasons(recommender, user, k=K, events=NAMED, writer=writer)
            spent_writing.append(1000 * (process_time() - begin))
            assert all(said_rightly(reason) for reason in written)
    assert min(lost) >= LEAST
    metrics = {
        "slates": len(ids),
        **{f"true/{name}": fmean(right[name]) for name in MOVED},
        "true/unchecked": fmean(unchecked),
        "named/items": fmean(items_named),
        "named/slates": fmean(slates),
        "named/lost": 1 - float(np.exp(-median(lost))),
        "ms/median": median(spent),
    }
    return metrics | ({"ms/written": median(spent_writing)} if spent_writing else {})


def said_rightly(reason: Reason) -> bool:
    """Say whether a sentence names its item, its events, and nothing else."""
    titles = {reason.title, *(event.title for event in reason.events)}
    return {*QUOTED.findall(reason.text)} == titles


def measure(out: Path, run: str) -> None:
    """Give reasons with a run, which is trained where none is given, and write the metrics."""
    torch.set_num_threads(1)
    run = run or trained(out / "run", "ranker")
    blend, ranker = Recommender(run, "blend"), Recommender(run, "blend")
    ranker.model = ranker.run.ranker
    writer = Decoder().eval() if find_spec(WHEEL) and find_spec("peft") else None
    contenders = {"blend": (blend, writer), "ranker": (ranker, None)}
    metrics = {
        f"{name}/{key}": value
        for name, given in contenders.items()
        for key, value in judged(*given).items()
    }
    (out / "metrics.json").write_text(json.dumps(metrics))


def main() -> None:
    """Run the cell and print the table."""
    print(table(on_a_run("reasons", SEED)))


def table(cells: dict[str, dict]) -> str:
    """Set the results as a Markdown table."""
    metrics, rows = cells["ml-100k"]["metrics"], []
    for name in ("blend", "ranker"):
        shares = ("true/probability", "true/score", "true/unchecked", "named/items")
        shares += ("named/slates", "named/lost")
        written = metrics.get(f"{name}/ms/written")
        times = f"{metrics[f'{name}/ms/median']:.0f}" + (f", {written:.0f}" if written else "")
        rows.append([name, *(f"{metrics[f'{name}/{key}']:.1%}" for key in shares), times])
    return markdown(HEAD, rows)


if __name__ == "__main__":
    if len(sys.argv) > 1 and not sys.argv[1].startswith("--"):
        measure(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "")
    else:
        main()
