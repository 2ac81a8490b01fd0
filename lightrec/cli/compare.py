"""`lightrec compare`."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lightrec.errors import RecipeError, RunError

if TYPE_CHECKING:
    from lightrec.evaluation.base import Table
    from lightrec.ranking.metrics import RankingResult


def compare(
    first: Path,
    second: Path,
    *others: str,
    metric: str = "ndcg@10",
    by: Literal["blend", "ranker", "policy"] = "blend",
    max_events: int = 20_000,
    seed: int = 0,
    out: Path | None = None,
) -> None:
    """Compare how runs rank the same held-out events, with paired tests.

    examples:
      lightrec compare runs/video runs/video-large
      lightrec compare runs/a runs/b runs/c --metric recall@10 --by ranker

    The runs must have the same log, the same split and the same protocol: else the command says
    where their receipts differ, and compares nothing. Differences are taken from the first run,
    user by user: with a 95 % interval (2,000 bootstrap samples of users) and Wilcoxon's signed-rank
    test, corrected for the number of comparisons as Holm (1979) does.

    :param first: a run folder, from which the others are told apart.
    :param second: another one.
    :param others: further ones.
    :param metric: ndcg@k, recall@k or mrr@k.
    :param by: what of a run ranks.
    :param max_events: at most so many test events, drawn by the seed.
    :param seed: of that draw and of the bootstrap.
    :param out: write figures and receipts into this JSON file, too.
    """
    name, _, cutoff = metric.partition("@")
    if name not in ("ndcg", "recall", "mrr") or not cutoff.isdigit() or int(cutoff) < 1:
        raise RecipeError(f"--metric is ndcg@k, recall@k or mrr@k, such as ndcg@10; not {metric}.")
    from lightrec.evaluation.receipt import differences, receipt
    from lightrec.evaluation.run_comparison import compared, ranked
    from lightrec.run import Run

    paths = [first, second, *map(Path, others)]
    if len({*paths}) < len(paths):
        raise RecipeError("A run is named twice: name each of them once.")
    runs = [Run(path) for path in paths]
    receipts = [receipt(run) for run in runs]
    for path, own in zip(paths[1:], receipts[1:], strict=True):
        if unlike := differences(receipts[0], own):
            raise RunError(
                [
                    f"{first} and {path} cannot be compared. They differ in {each}."
                    for each in unlike
                ]
            )
    results: dict[str, RankingResult] = {}
    for path, run in zip(paths, runs, strict=True):
        print(f"ranking the held-out events by {path}", file=sys.stderr)
        results[str(path)] = ranked(run, by, max_events, seed)
    table, figures = compared(results, metric, seed)
    _show(table, receipts[0])
    if out is not None:
        content = {"metric": metric, "by": by, "figures": figures, "receipts": receipts}
        out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _show(table: "Table", receipt: dict[str, dict[str, object]]) -> None:
    log, split = receipt["log"], receipt["split"]
    print(table.text())
    print(
        f"\n{split['test events']:,} test events of {log['users']:,} users, all {log['items']:,} "
        f"items ranked; log {str(log['hash'])[:8]}, split {str(split['hash'])[:8]}."
    )
