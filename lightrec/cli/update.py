"""`lightrec update`."""

from pathlib import Path
from typing import Any

from lightrec.cli.command import with_options_of
from lightrec.cli.run import stage_overrides
from lightrec.run import Run
from lightrec.stages import update as stages


@with_options_of(stages.update, but="overrides")
def update(run: Path, *settings: str, **options: Any) -> None:
    """Append new events, items and users to a run, and let its new version answer.

    examples:
      lightrec update runs/mine --log today.csv
      lightrec update runs/mine --log today.csv --items new_items.csv --users new_users.csv
      lightrec update runs/mine --log monday.csv tuesday.csv --keep 10
      lightrec update runs/mine --log today.csv --ranker.trainer.max_epochs 5

    The files are read as those of the run itself. The ranker goes on from its weights, item models
    and blend are fitted anew; user models and policy stay those of the version that has them. Until
    all is finished the present version answers. `lightrec runs rollback` goes back to it.

    :param run: a run folder, such as runs/mine.
    """
    overrides = stage_overrides(settings, ["data", "ranker"])
    number = stages.update(run, **options, overrides=overrides)
    present = Run(run)
    if number is None:
        print(f"There is nothing new: version {present.version} of {run} answers as before.")
        return
    if present.has("evaluate"):
        print((present.folder("evaluate") / "summary.txt").read_text(), end="")
    print(f"Version {number} of {run} answers now. `lightrec runs rollback {run}` goes back.")
