"""What a user can name at present, to be kept: `python -m tests.golden.record` writes it anew.

Commands with their options, the settings of shipped recipes, and of a small run its metrics and
what its checkpoints hold. A name that goes is a break, which the changelog has to tell.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from safetensors import safe_open

from docs.generated import shipped
from lightrec import plugins
from lightrec.cli.command import parser_of
from lightrec.stages.recipes import load

HERE: Final = Path(__file__).parent
SETS: Final = ("generic", "video", "large", "far", "next", "worlds", "lab", "audit")


def commands() -> dict[str, list[str]]:
    """The options and arguments of each command."""
    found = {}
    for name, part in shipped(plugins.COMMANDS).items():
        actions = parser_of(part.load(), name)._actions
        found[name] = sorted({o for a in actions for o in a.option_strings or [a.dest]})
    return dict(sorted(found.items()))


def recipes() -> dict[str, list[str]]:
    """The settings that each stage of a set of recipes states, with what it lies over."""
    found = {}
    for name in SETS:
        stages = load(name).recipes
        found |= {f"{name}/{stage}": sorted(_keys(recipe)) for stage, recipe in stages.items()}
    return found


def _keys(value: Any, before: str = "") -> Iterator[str]:
    if not isinstance(value, Mapping) or not value:
        yield before
        return
    for name, inner in value.items():
        yield from _keys(inner, f"{before}.{name}" if before else str(name))


def run(folder: Path) -> dict[str, list[str]]:
    """Of a run: its metrics, and the tensors and settings of each part that was saved."""
    found = {"metrics.json": sorted(json.loads((folder / "metrics.json").read_text()))}
    for path in sorted(folder.glob("*/**/*.safetensors")):
        with safe_open(path, "pt") as tensors:
            found[str(path.relative_to(folder))] = sorted(tensors.keys())
    for path in sorted(folder.glob("*/config.json")):
        found[str(path.relative_to(folder))] = sorted(_keys(json.loads(path.read_text())))
    return found


def main() -> None:
    """Write commands and recipes; a run's test writes what it holds, with LIGHTREC_RECORD=1."""
    for made in (commands, recipes):
        text = json.dumps(made(), indent=1, ensure_ascii=False)
        (HERE / f"{made.__name__}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
