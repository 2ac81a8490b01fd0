"""`lightrec runs`: the versions of a run."""

from datetime import datetime
from pathlib import Path
from typing import Any

from lightrec.stages import versions

TITLES = {
    "version": "version",
    "made": "made",
    "events": "events",
    "users": "users",
    "items": "items",
    "validation/ndcg@10": "validation NDCG@10",
    "test/ndcg@10": "test NDCG@10",
}


def list_versions(run: Path, *, json: bool = False) -> None:
    """List the versions of a run; a star stands at the one that answers.

    example:
      lightrec runs list runs/mine

    :param run: a run folder, such as runs/mine.
    :param json: for programs to read.
    """
    found = versions.listed(run)
    if json:
        from json import dumps

        print(dumps(found, indent=2))
        return
    rows = [[*TITLES.values()], *([_cell(row, key) for key in TITLES] for row in found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(word.rjust(width) for word, width in zip(row, widths, strict=True)))


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
