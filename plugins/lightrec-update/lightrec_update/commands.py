"""`lightrec update` and `lightrec runs`: new versions of a run, listed and promoted."""

from datetime import datetime
from pathlib import Path
from typing import Any

from lightrec.api import Run, Table
from lightrec.cli.command import with_options_of
from lightrec.cli.run import stage_overrides
from lightrec_update import update as updating
from lightrec_update import versions

TITLES = {
    "version": "version",
    "made": "made",
    "events": "events",
    "users": "users",
    "items": "items",
    "validation/ndcg@10": "validation NDCG@10",
    "test/ndcg@10": "test NDCG@10",
}


@with_options_of(updating.update, but="overrides")
def update(run: Path, *settings: str, **options: Any) -> None:
    """Append new events, items and users to a run, and let its new version answer.

    examples:
      lightrec update runs/mine --log today.csv
      lightrec update runs/mine --log today.csv --items new_items.csv --users new_users.csv
      lightrec update runs/mine --log monday.csv tuesday.csv --keep 10
      lightrec update runs/mine --log today.csv --ranker.trainer.max_epochs 5

    The files are read as those of the run itself. The ranker continues from its weights, item
    models and blend are fitted again; user models and policy stay those of the version that has
    them. The present version answers until all is finished; `lightrec runs rollback` restores it.

    :param run: a run folder, such as runs/mine.
    """
    overrides = stage_overrides(settings, ["data", "ranker"])
    number = updating.update(run, **options, overrides=overrides)
    present = Run(run)
    if number is None:
        print(f"There is nothing new: version {present.version} of {run} answers as before.")
        return
    if present.has("evaluate"):
        print((present.folder("evaluate") / "summary.txt").read_text(), end="")
    print(f"Version {number} of {run} answers now. `lightrec runs rollback {run}` goes back.")


def list_versions(run: Path, *, json: bool = False) -> None:
    """List the versions of a run; a star stands at the one that answers.

    example:
      lightrec runs list runs/mine

    :param run: a run folder, such as runs/mine.
    :param json: for programs to read.
    """
    listed = versions.listed(run)
    if json:
        from json import dumps

        print(dumps(listed, indent=2))
        return
    rows = [[_cell(row, key) for key in TITLES] for row in listed]
    print(Table([*TITLES.values()], rows).text())


def promote(run: Path, version: int) -> None:
    """Let another version of a run answer.

    example:
      lightrec runs promote runs/mine 3

    :param run: a run folder, such as runs/mine.
    :param version: its number, as `lightrec runs list` shows it.
    """
    versions.promote(run, version)
    print(f"Version {version} of {run} answers now.")


def rollback(run: Path) -> None:
    """Let the version answer from which the present one was made.

    example:
      lightrec runs rollback runs/mine

    :param run: a run folder, such as runs/mine.
    """
    promote(run, versions.before(run))


def _cell(row: dict[str, Any], key: str) -> str:
    value = row[key]
    if key == "version":
        return f"{'* ' if row['answers'] else ''}{value}"
    if key == "made":
        return datetime.fromtimestamp(value).strftime("%Y-%m-%d %H:%M")
    if isinstance(value, float):
        return f"{value:.4f}"
    return "–" if value is None else f"{value:,}"
