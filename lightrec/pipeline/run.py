"""`lightrec run`: all stages in their order, skipping those whose inputs have not changed."""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

from lightrec import plugins
from lightrec.errors import RecipeError
from lightrec.pipeline import recipes
from lightrec.pipeline.stage import INPUTS, Stage

SHOWN = ("metrics.json", "report.html", "report.png", "summary.txt")
"""What a run folder shows at its top."""

STAY = ("--model.init_args.leave_rate", "0")
CHOICES = (
    *STAY,
    *("--data.init_args.encoder", "null"),
    *("--data.init_args.text_encoder", "TextEncoder"),
    *("--model.init_args.hidden_size", "128"),
    *("--model.init_args.identity_precision", "20"),
    *("--trainer.max_epochs", "5"),
)
OFFLINE = {"data": ("--offline", "true"), "reward": CHOICES, "judge": CHOICES, "policy": STAY}
"""What the world `far` changes in the recipes: its users never leave, its sessions are cut, and its
texts tell more of the items than its choices do."""

FUNCTIONS = {
    "data": "lightrec.pipeline.data:prepare_stage",
    "assumptions": "lightrec.pipeline.assumptions:assumptions_stage",
    "evaluate": "lightrec.pipeline.evaluate:evaluate_stage",
}
"""The stages that are plain functions instead of LightningCLI recipes."""


def run(
    domain: str,
    *,
    out: str | Path | None = None,
    log: str | Path | None = None,
    items: str | Path | None = None,
    users: str | Path | None = None,
    offline: bool = False,
    seed: int | None = None,
    fresh: bool = False,
    until: str | None = None,
    overrides: Mapping[str, Sequence[str]] | None = None,
) -> Path:
    """Run every stage of a domain and leave the results in one folder.

    :param domain: an installed set of recipes such as ``video``, or a folder of recipes.
    :param out: the run folder; by default ``runs/<domain>``.
    :param log: your interaction log; by default the domain's sample.
    :param items: your item table.
    :param users: your user table.
    :param offline: run on the synthetic world ``far`` instead of a log.
    :param seed: the seed of every stage, in place of the recipes'.
    :param fresh: do every stage anew.
    :param until: the last stage to do, such as ``encoder``; by default all.
    :param overrides: LightningCLI settings by stage, such as
        ``{"encoder": ["--trainer.max_epochs", "5"]}``.
    :returns: the run folder, with ``metrics.json`` and ``report.html``.
    :raises LightrecError: where the input, a recipe or a plugin cannot be used.
    """
    for sentence in plugins.installed().broken.values():
        print(f"warning: {sentence}", file=sys.stderr)
    folder = recipes.folder(domain)
    name = folder.resolve().name
    where = Path(out) if out else Path("runs") / (f"{name}-offline" if offline else name)
    sources = {"log": log, "items": items, "users": users}
    given = {role: Path(path) for role, path in sources.items() if path is not None}
    missing = [
        f"The {role} file {path} does not exist."
        for role, path in given.items()
        if not path.exists()
    ]
    if missing:
        raise RecipeError("\n".join(missing))
    if offline and given:
        raise RecipeError("--offline makes its own log: leave out --log, --items and --users.")
    stages = plan(folder, where, given, offline, seed, overrides or {})
    if until is not None:
        names = [stage.name for stage in stages]
        if until not in names:
            raise RecipeError(f"There is no stage {until!r}; the stages are {', '.join(names)}.")
        stages = stages[: names.index(until) + 1]
    redo = fresh
    for number, stage in enumerate(stages, start=1):
        headline = f"[{number}/{len(stages)}] {stage.name}"
        if not redo and stage.is_current():
            print(f"{headline}: up to date", file=sys.stderr)
            continue
        print(headline, file=sys.stderr)
        execute(stage, anew=fresh)
    if stages[-1].name == "evaluate":
        publish(where)
    return where


def publish(run: Path) -> None:
    """Copy the results of the last stage to the top of the run folder, each by one rename."""
    for name in SHOWN:
        shutil.copyfile(run / "evaluate" / name, run / f".{name}.partial")
        os.replace(run / f".{name}.partial", run / name)


def plan(
    folder: Path,
    out: Path,
    sources: Mapping[str, Path],
    offline: bool,
    seed: int | None,
    overrides: Mapping[str, Sequence[str]],
) -> list[Stage]:
    """List the stages of a folder of recipes, in order, without running anything."""
    unknown = set(overrides) - set(INPUTS)
    if unknown:
        raise RecipeError(
            f"There is no stage {sorted(unknown)[0]!r} to override. The stages are: "
            f"{', '.join(INPUTS)}; write for example `--encoder.trainer.max_epochs 5`."
        )
    stages = []
    for name in INPUTS:
        path = folder / f"{name}.yaml"
        if not path.is_file():
            raise RecipeError(f"The folder {folder} lacks the recipe {name}.yaml.")
        extra = list(overrides.get(name, ()))
        if seed is not None:
            extra += ["--seed" if name in FUNCTIONS else "--seed_everything", str(seed)]
        if offline:
            extra = [*OFFLINE.get(name, ()), *extra]
        stages.append(Stage(name, path, out / name, extra, sources if name == "data" else {}))
    return stages


def execute(stage: Stage, anew: bool = False) -> None:
    """Run one stage, whatever its state."""
    if anew:
        shutil.rmtree(stage.work, ignore_errors=True)
    if stage.name in FUNCTIONS:
        module, _, function = FUNCTIONS[stage.name].partition(":")
        getattr(import_module(module), function)(stage)
    else:
        from lightrec.pipeline.train import train

        train(stage)
