"""`lightrec evaluate`."""

import argparse
import json
from pathlib import Path

from lightrec.errors import RunError


def parser() -> argparse.ArgumentParser:
    """Give the command's parser."""
    parsing = argparse.ArgumentParser(
        prog="lightrec evaluate",
        description="Show a run's results; rank your own predictions by the same protocol.",
        epilog="examples:\n  lightrec evaluate runs/video\n"
        "  lightrec evaluate runs/video --predictions mine.csv\n\n"
        "mine.csv has the columns user, item and score (or rank, 1 for the best). Items that it\n"
        "does not list share the last place.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parsing.add_argument("run", type=Path, help="a run folder, such as runs/video")
    parsing.add_argument("--predictions", type=Path, help="a CSV or Parquet file")
    return parsing


def main(command: str, arguments: list[str]) -> int:
    """Print a run's results, your predictions beside them if given."""
    chosen = parser().parse_args(arguments)
    path = chosen.run / "metrics.json"
    if not path.is_file():
        raise RunError(f"There is no {path}: finish the run first with `lightrec run`.")
    metrics = json.loads(path.read_text())
    if chosen.predictions is not None:
        from lightrec.pipeline.evaluate import evaluate_predictions

        metrics |= evaluate_predictions(chosen.run, chosen.predictions)
    from lightrec.pipeline.report import summary

    print(summary(metrics), end="")
    return 0
