"""The folder of a run: what each finished stage noted, and whether stages belong together.

A stage's folder holds a ``stage.json`` with the fingerprint of all that went in, and with those of
the stages that it read. Whoever opens a run compares them first: models that learned from another
log than the one that lies next to them answer nonsense. No data are read for it.
"""

import json
from pathlib import Path
from typing import Any

from lightrec.errors import RunError

STAMP = "stage.json"


def stamp(folder: Path) -> dict[str, Any]:
    """Read the ``stage.json`` of a finished stage.

    :raises RunError: where the stage is not finished.
    """
    path = folder / STAMP
    if not path.is_file():
        raise RunError(
            f"{folder.parent} holds no finished {folder.name} stage (there is no {path}). Make it "
            "with `lightrec run`, or name another run folder."
        )
    try:
        facts = json.loads(path.read_text())
    except ValueError:
        facts = None
    if not isinstance(facts, dict) or "fingerprint" not in facts:
        raise RunError(
            f"{path} is damaged: it is no note of a finished stage. Make the stage again."
        )
    return facts


def check_together(run: Path, *stages: str) -> None:
    """See that stages of a run belong together, and with all stages that they were made from.

    A stage that is not named may be missing: a run folder can be copied in part.

    :param run: a run folder such as ``runs/video``.
    :param stages: those that are about to be read, such as ``data`` and ``policy``.
    :raises RunError: where a named stage is not finished, or where a stage was made from another
        stage than the one that is there now; the sentence has the command that mends it.
    """
    left = [*stages]
    for name in left:  # grows by the stages that each was made from
        made = stamp(run / name)
        for other, fingerprint in made.get("inputs", {}).items():
            if not (run / other / STAMP).is_file():
                continue
            found = stamp(run / other)
            if found["fingerprint"] != fingerprint:
                command = mending(run, found, made)
                raise RunError(
                    f"The stage {name} in {run} is stale: it was made from another {other} stage "
                    f"than the one that is there now. Make it again with `{command}`."
                )
            if other not in left:
                left.append(other)


def mending(run: Path, *facts: dict[str, Any]) -> str:
    """Give the command that makes the stages of a run that are not up to date.

    :param facts: ``stage.json`` of stages; the first that was made by a run names its command.
    """
    noted = [str(made.get("command", "")) for made in facts]
    # A folder may come from anybody: only a command of our own is repeated.
    commands = [c for c in noted if c.startswith("lightrec run ") and c.isprintable()]
    return f"{[*commands, 'lightrec run RECIPES'][0]} --out {run}"
