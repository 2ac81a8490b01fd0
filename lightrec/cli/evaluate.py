"""`lightrec evaluate`."""

import argparse
import json
from pathlib import Path

from lightrec.data.files import check_file
from lightrec.data.run_folder import STAMP, check_together
from lightrec.errors import RunError


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
    # A run that ended with the encoder has a ranking, too.
    paths = {"evaluate": chosen.run / "metrics.json"}
    paths["encoder"] = chosen.run / "encoder" / "metrics.json"
    found = {stage: path for stage, path in paths.items() if path.is_file()}
    if not found:
        raise RunError(
            f"{chosen.run} holds no results: there is neither a metrics.json nor an encoder/"
            "metrics.json in it. Make them with `lightrec run`, or name another run folder."
        )
    stage, path = next(iter(found.items()))
    if (chosen.run / stage / STAMP).is_file():
        check_together(chosen.run, stage)
    metrics = json.loads(path.read_text())
    if chosen.predictions is not None:
        from lightrec.evaluation.predictions import evaluate_predictions

        metrics |= evaluate_predictions(chosen.run, chosen.predictions)
    from lightrec.report.page import summary

    print(summary(metrics), end="")
    return 0
