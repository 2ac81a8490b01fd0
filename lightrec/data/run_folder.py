"""What a finished stage notes in its folder: ``stage.json``.

It holds the fingerprint of all that went in, and those of the stages that it read.
"""

import json
from pathlib import Path
from typing import Any, Final

from lightrec.errors import RunError

STAMP = "stage.json"
FORMAT_VERSION: Final = 2
"""Of the prepared log that the stage ``data`` leaves; what has another one is prepared again."""


def stamp(folder: Path) -> dict[str, Any]:
    """Read the ``stage.json`` of a finished stage.

    :raises RunError: if the stage is not finished.
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


def mending(run: Path, *facts: dict[str, Any]) -> str:
    """Return the command that makes the outdated stages of a run again.

    :param facts: ``stage.json`` of stages; the first that a run made names its command.
    """
    noted = [str(made.get("command", "")) for made in facts]
    # A folder may come from anybody: only a command of our own is repeated.
    commands = [c for c in noted if c.startswith("lightrec run ") and c.isprintable()]
    return f"{[*commands, 'lightrec run RECIPES'][0]} --out {run}"
