"""Do explanations name what matters? `make bench NAME=explanations`.

On MovieLens-100K, the sample of the domain ``video``, the first item of 200 users' lists is
explained for the blend, its ranker alone and the policy. Then the three events that add most are
deleted from the history, and in their place three random ones, and the item's log-probability is
computed anew. ``--run FOLDER`` takes a finished run with a policy; otherwise one is trained.
"""

import json
import sys
from pathlib import Path
from statistics import fmean, median
from time import process_time

import numpy as np
import torch
from lightrec_audit.explain import explain

from benchmarks.cells import markdown, on_a_run, trained
from lightrec.data.sequences import with_only
from lightrec.intervals import mean_interval
from lightrec.keys import Key
from lightrec.recommend import Recommender

SEED = 0
CASES = 200
DELETED = 3
K = 10
WORDS = 20
"""Of so many users the words are explained, too."""
HEAD = [
    "what ranks",
    "completeness error: median, 95 %, largest",
    "three most important > three random of the history",
    "> three random of those read",
    "events without which it would not come: one, 2–5, more, none found",
    "CPU ms: median, of 40 to 60 events, with words",
]


@torch.no_grad()
def moved(recommender: Recommender, user: str, item: str, deleted: list[list[int]]) -> list[float]:
    """Delete events, each time others: how far does the item's log-probability move?"""
    person = recommender.person(user)
    may = recommender.may_see(person.row, recommender.allowed((), ())[0])
    may = may.scatter(1, person.known[Key.SEEN], False)
    kept = torch.ones(1 + len(deleted), person.known[Key.HISTORY].shape[1], dtype=torch.bool)
    for row, places in enumerate(deleted, 1):
        kept[row, places] = False
    scores = recommender.raw(with_only(person.known, kept)).masked_fill(~may, -torch.inf)
    target = scores.log_softmax(1)[:, recommender.item(item)]
    return (target[1:] - target[0]).abs().tolist()


def judged(recommender: Recommender, read: int) -> dict[str, float]:
    """Explain the first items of users' lists; random events are drawn by one seed for all.

    :param read: how many of a history's last events are read.
    """
    generator = np.random.default_rng(SEED)
    users = generator.permutation(recommender.store.num_users)[:CASES]
    users = [recommender.store.user_ids[int(row)] for row in users]
    explain(recommender, users[0], k=K)
    errors, won, won_read, sizes, spent, of_50, with_words = ([] for _ in range(7))
    for number, user in enumerate(users):
        begin = process_time()
        found = explain(recommender, user, k=K, words=False)
        spent.append(1000 * (process_time() - begin))
        errors.append(found.completeness_error)
        length = len(found.events)
        if 40 <= length <= 60:
            of_50.append(spent[-1])
        top = [event.position - 1 for event in found.events[:DELETED]]
        any_three = generator.choice(length, DELETED, replace=False)
        last = length - 1 - generator.choice(min(read, length), DELETED, replace=False)
        most, chance, near = moved(recommender, user, found.item, [top, [*any_three], [*last]])
        won.append(float(most > chance))
        won_read.append(float(most > near))
        assert found.change is not None
        sizes.append(len(found.change.without))
        if number < WORDS:
            begin = process_time()
            explain(recommender, user, k=K)
            with_words.append(1000 * (process_time() - begin))
    metrics = {
        "error/median": median(errors),
        "error/95": float(np.quantile(errors, 0.95)),
        "error/largest": max(errors),
        "change/one": fmean(size == 1 for size in sizes),
        "change/few": fmean(2 <= size <= 5 for size in sizes),
        "change/more": fmean(size > 5 for size in sizes),
        "change/none": fmean(size == 0 for size in sizes),
        "ms/median": median(spent),
        "ms/50": median(of_50),
        "ms/words": median(with_words),
    }
    for name, values in (("won", won), ("won-read", won_read)):
        interval = mean_interval(torch.tensor(values))
        metrics |= {name: interval.mean, f"{name}/low": interval.low, f"{name}/high": interval.high}
    return metrics


def measure(out: Path, run: str) -> None:
    """Explain with a run, which is trained where none is given, and write the metrics."""
    torch.set_num_threads(1)
    run = run or trained(out / "run", "policy")
    blend, policy = Recommender(run, "blend"), Recommender(run, "policy")
    ranker = Recommender(run, "blend")
    ranker.model = ranker.run.ranker
    length = ranker.run.ranker.max_length
    own = policy.run.policy.history_length or length
    contenders = {"blend": (blend, length), "ranker": (ranker, length), "policy": (policy, own)}
    metrics = {
        f"{name}/{key}": value
        for name, given in contenders.items()
        for key, value in judged(*given).items()
    }
    (out / "metrics.json").write_text(json.dumps(metrics))


def main() -> None:
    """Run the cell and print the table."""
    print(table(on_a_run("explanations", SEED)))


def table(cells: dict[str, dict]) -> str:
    """Set the results as a Markdown table."""
    metrics, rows = cells["ml-100k"]["metrics"], []
    for name in ("blend", "ranker", "policy"):
        own = {key: metrics[f"{name}/{key}"] for key in _keys(metrics, name)}
        errors = ", ".join(f"{own[f'error/{key}']:.2%}" for key in ("median", "95", "largest"))
        shares = (f"{own[f'change/{key}']:.0%}" for key in ("one", "few", "more", "none"))
        times = ", ".join(f"{own[f'ms/{key}']:.0f}" for key in ("median", "50", "words"))
        won = [
            f"{own[key]:.1%} ({own[f'{key}/low']:.1%} to {own[f'{key}/high']:.1%})"
            for key in ("won", "won-read")
        ]
        rows.append([name, errors, *won, ", ".join(shares), times])
    return markdown(HEAD, rows)


def _keys(metrics: dict[str, float], name: str) -> list[str]:
    return [key.removeprefix(f"{name}/") for key in metrics if key.startswith(f"{name}/")]


if __name__ == "__main__":
    if len(sys.argv) > 1 and not sys.argv[1].startswith("--"):
        measure(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "")
    else:
        main()
