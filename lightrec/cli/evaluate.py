"""`lightrec evaluate`."""

import argparse
from pathlib import Path

from lightrec.data.files import check_file
from lightrec.errors import RunError
from lightrec.run import Run


def parser() -> argparse.ArgumentParser:
    """Give the command's parser."""
    parsing = argparse.ArgumentParser(
        prog="lightrec evaluate",
        description="Show a run's results; rank your own predictions by the same protocol.",
        epilog="examples:\n  lightrec evaluate runs/video\n"
        "  lightrec evaluate runs/video --predictions mine.csv\n\n"
        "mine.csv has the columns user, item and score (or rank, 1 for the best). Items that it\n"
        "does not list share the last place; users that it does not list are reported apart.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parsing.add_argument("run", type=Path, help="a run folder, such as runs/video")
    parsing.add_argument("--predictions", type=Path, help="a CSV or Parquet file")
    return parsing


def main(command: str, arguments: list[str]) -> int:
    """Evaluate a run, or your own predictions next to it."""
    chosen = parser().parse_args(arguments)
    if chosen.predictions is not None:
        check_file(chosen.predictions)
    run = Run(chosen.run)
    # A run that ended with the ranker has a ranking, too.
    finished = [stage for stage in ("evaluate", "ranker") if run.has(stage)]
    if not finished:
        raise RunError(
            f"{chosen.run} holds no results: neither the stage evaluate nor the stage ranker is "
            "finished in it. Make them with `lightrec run`, or name another run folder."
        )
    metrics = run.metrics(finished[0])
    if chosen.predictions is not None:
        from lightrec.evaluation.predictions import evaluate_predictions

        metrics |= evaluate_predictions(chosen.run, chosen.predictions)
    from lightrec.report.page import summary

    print(summary(metrics), end="")
    return 0
