"""Versions of a run: listed, promoted, rolled back and removed.

Version 1 lies in the run folder itself, as `lightrec run` leaves it. Each later one is a whole run
folder in ``versions``, and the link ``current`` names the one that answers. Promoting a version
replaces that link by one rename; see :class:`~lightrec.run.Run` for who reads it.
"""

import fcntl
import json
import os
import shutil
from pathlib import Path
from typing import Any

from lightrec.errors import RunError
from lightrec.run import CURRENT, METRICS, VERSION, VERSIONS, Run
from lightrec.stages import redo
from lightrec.stages.stage import publish


def folder(run: Path, number: int) -> Path:
    """A version's folder, whether it is there or not."""
    return run / VERSIONS / str(number) if number > 1 else run


def numbers(run: Path) -> list[int]:
    """The numbers of the versions that are there, ascending."""
    later = (run / VERSIONS).glob(f"*/{VERSION}")
    first = [1] if Run(run, follow=False).has("data") else []
    return first + sorted(int(path.parent.name) for path in later if path.parent.name.isdecimal())


def promote(run: Path, number: int) -> None:
    """Let a version answer, by one rename, and show its report at the top of the run folder.

    :raises RunError: where there is no such version.
    """
    if number not in (there := numbers(run)):
        raise RunError(
            f"{run} has no version {number}. It has: {', '.join(map(str, there)) or 'none'}."
        )
    with redo.alone(run, "runs promote"):
        if number == 1:
            (run / CURRENT).unlink(missing_ok=True)
        else:
            partial = run / f".{CURRENT}.partial"
            partial.unlink(missing_ok=True)
            partial.symlink_to(Path(VERSIONS) / str(number))
            os.replace(partial, run / CURRENT)
        chosen = Run(run)
        if chosen.has("evaluate"):
            publish(chosen.stamp("evaluate")["recipe"], chosen.folder("evaluate"), run)


def before(run: Path) -> int:
    """The version that the present one was made from.

    :raises RunError: where there is none, or it was removed.
    """
    present = Run(run)
    if (earlier := present.about.get("updated")) is None:
        raise RunError(f"{run} answers with version 1, and there is none before it.")
    if earlier not in (there := numbers(run)):
        raise RunError(
            f"Version {earlier} of {run}, from which version {present.version} was made, was "
            f"removed. Promote another one with `lightrec runs promote {run} NUMBER`; there are "
            f"{', '.join(map(str, there))}."
        )
    return int(earlier)


def listed(run: Path) -> list[dict[str, Any]]:
    """Say of each version when it was made, how large its log is, and how well it ranks.

    :raises RunError: where there is no run.
    """
    present, rows = Run(run).version, []
    if not numbers(run):
        example = next((inner for inner in sorted(run.glob("*")) if numbers(inner)), "runs/video")
        raise RunError(f"{run} holds no run: name a run folder, such as {example}.")
    for number in numbers(run):
        version = Run(folder(run, number), follow=False)
        data = version.folder("data")
        counts = json.loads((data / "meta.json").read_text())["counts"]
        stages = [stage for stage in ("evaluate", "ranker") if version.has(stage)]
        file = version.folder((stages or ["ranker"])[0]) / METRICS
        metrics = json.loads(file.read_text()) if file.is_file() else {}
        row: dict[str, Any] = {"version": number, "answers": number == present}
        row |= {"made": (data / "stage.json").stat().st_mtime}
        row |= {key: counts[key] for key in ("events", "users", "items")}
        row |= {key: metrics.get(key) for key in ("validation/ndcg@10", "test/ndcg@10")}
        rows.append(row)
    return rows


def prune(run: Path, keep: int) -> list[int]:
    """Remove old versions.

    :param keep: how many of the newest stay. The one that answers stays, too, and so do version 1
        and those that somebody has loaded; a later call removes these.
    :returns: those that were removed.
    """
    present = Run(run).version
    older = [n for n in numbers(run)[:-keep] if n not in (1, present)]
    old = [number for number in older if not _is_held(folder(run, number))]
    for number in old:
        # Out of sight at once, so that nobody finds half of it.
        gone = run / VERSIONS / f".{number}.removed"
        os.replace(folder(run, number), gone)
    for gone in (run / VERSIONS).glob(".*.removed"):
        shutil.rmtree(gone, ignore_errors=True)
    return old


def _is_held(version: Path) -> bool:
    """Tell whether somebody has loaded a version: see :meth:`lightrec.run.Run.hold`."""
    with (version / VERSION).open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
