"""`lightrec evaluate`: how good a finished run is."""

from pathlib import Path

from lightrec.data.files import check_file
from lightrec.errors import RunError


def evaluate(run: Path, *, predictions: Path | None = None) -> None:
    """Evaluate a run, or your own predictions next to it.

    examples:
      lightrec evaluate runs/video
      lightrec evaluate runs/video --predictions mine.csv

    mine.csv has the columns user, item and score (or rank, 1 for the best). Items that it
    does not list share the last place; users that it does not list are reported apart.

    :param run: a run folder, such as runs/video.
    :param predictions: a CSV or Parquet file.
    """
    from lightrec.run import Run

    if predictions is not None:
        check_file(predictions)
    opened = Run(run)
    # A run that ended with the ranker has a ranking, too.
    finished = [stage for stage in ("evaluate", "ranker") if opened.has(stage)]
    if not finished:
        raise RunError(
            f"{run} holds no results: neither the stage evaluate nor the stage ranker is "
            "finished in it. Make them with `lightrec run`, or name another run folder."
        )
    metrics = opened.metrics(finished[0])
    if predictions is None and finished[0] == "evaluate":
        said = {path.parent.name for path in opened.path.glob("*/summary.txt")} - {"evaluate"}
        for stage in ("evaluate", *filter(opened.has, sorted(said))):
            print((opened.folder(stage) / "summary.txt").read_text("utf-8"), end="")
        return
    if predictions is not None:
        from lightrec.evaluation.predictions import evaluate_predictions

        metrics |= evaluate_predictions(opened, predictions)
    from lightrec.report.summary import summary

    print(summary(metrics), end="")
