"""`lightrec run`: all stages in their order, skipping those whose inputs have not changed."""

import json
import os
import shlex
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from lightrec import plugins
from lightrec.data.files import check_input
from lightrec.data.store import META
from lightrec.errors import PluginError, RecipeError
from lightrec.run import Run
from lightrec.stages import recipes, redo
from lightrec.stages.functions import settings
from lightrec.stages.stage import INPUTS, LAST, Stage

ROOM = "LIGHTREC_ROOM"
"""Environment variable by which the processes that a training starts find the stages' folder."""
SHOWN = ("metrics.json", "report.html", "report.png", "summary.txt")
"""What a run folder shows at its top."""

STAY = ("--model.init_args.leave_rate", "0")
CHOICES = (
    *STAY,
    *("--data.init_args.ranker", "null"),
    *("--data.init_args.text_encoder", "TextEncoder"),
    *("--model.init_args.hidden_size", "128"),
    *("--model.init_args.identity_precision", "20"),
    *("--trainer.max_epochs", "5"),
)
POLICY = ("--data.init_args.leave_rate", "0")
OFFLINE = {"data": ("--offline", "true"), "users_a": CHOICES, "users_b": CHOICES, "policy": POLICY}
"""What the world `far` changes in the recipes: its users never leave, its sessions are cut, and its
texts tell more of the items than its choices do."""

FAST_DEV_RUN = {
    **dict.fromkeys(("ranker", "users_a", "users_b", "policy"), ("--trainer.fast_dev_run", "1")),
    "assumptions": (
        "--policy=[--trainer.fast_dev_run=1]",
        *("--rounds", "1", "--max_users", "20", "--max_steps", "5"),
    ),
}
"""One batch of each training: whether recipes, log and plugins fit together at all."""

FUNCTIONS = {
    "data": ("lightrec.stages.data", "prepare_stage", "prepare_log"),
    "evaluate": ("lightrec.stages.evaluate", "evaluate_stage", "evaluate"),
    "assumptions": ("lightrec.stages.assumptions", "assumptions_stage", "assume"),
}
"""The stages that are plain functions instead of LightningCLI recipes: module, what runs the stage,
and the function whose arguments are its settings."""


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
    strict: bool = False,
    fast_dev_run: bool = False,
    overrides: Mapping[str, Sequence[str]] | None = None,
) -> Path:
    """Run the stages of a domain and leave the results in one folder.

    :param domain: an installed set of recipes such as ``video``, a folder of recipes, or an
        installed domain, which takes the generic recipes where it has none of its own.
    :param out: the run folder; by default ``runs/<domain>``.
    :param log: your interaction log; by default the domain's sample.
    :param items: your item table.
    :param users: your user table.
    :param offline: run on the synthetic world ``far`` instead of a log.
    :param seed: the seed of every stage, in place of the recipes'.
    :param fresh: do every stage anew.
    :param until: the last stage to do, such as ``ranker``; by default ``evaluate``. The stage
        ``assumptions`` comes after it and is done only where it is named here.
    :param strict: refuse to run while any plugin is broken, instead of a warning.
    :param fast_dev_run: train every stage on a single batch, to see whether everything fits; the
        results mean nothing and go into a folder of their own, ``runs/<domain>-fast-dev-run``.
    :param overrides: LightningCLI settings by stage, such as
        ``{"ranker": ["--trainer.max_epochs", "5"]}``.
    :returns: the run folder, with ``metrics.json`` and ``report.html``.
    :raises LightrecError: where the input, a recipe or a plugin cannot be used.
    """
    complaints = plugins.installed().complaints
    if strict and complaints:
        raise PluginError("\n".join(complaints))
    for sentence in complaints:
        plugins.warn(sentence)
    folder, name = find_recipes(domain)
    kind = ("-offline" if offline else "") + ("-fast-dev-run" if fast_dev_run else "")
    where = Path(out) if out else Path("runs") / f"{name}{kind}"
    sources = {"log": log, "items": items, "users": users}
    given = {role: Path(path) for role, path in sources.items() if path is not None}
    for path in given.values():
        check_input(path)
    if offline and given:
        raise RecipeError("--offline makes its own log: leave out --log, --items and --users.")
    chosen = {stage: list(settings) for stage, settings in (overrides or {}).items()}
    if until is None and "assumptions" in chosen:
        raise RecipeError(
            "There are settings for the stage assumptions, which this run does not do. "
            "Add --until assumptions, or leave them out."
        )
    if fast_dev_run:
        chosen = {s: [*FAST_DEV_RUN.get(s, ()), *chosen.get(s, ())] for s in INPUTS}
    if name != folder.resolve().name:
        chosen["data"] = ["--domain", name, *chosen.get("data", [])]
    command = command_of(domain, given, offline, seed, fast_dev_run, overrides or {})
    stages = plan(folder, where, given, offline, seed, chosen, until or LAST, command)
    redo.complete(where)
    left = to_do(stages, fresh)
    for stage in stages:
        if stage.name in left:
            check(stage)
    if {"users_a", "users_b"} & {*left}:
        from lightrec.stages.planned_halves import check_planned_halves

        check_planned_halves(stages)
    first = ROOM not in os.environ
    try:
        work_off(stages, left, fresh)
    finally:
        if first:
            os.environ.pop(ROOM, None)
            redo.tidy(where)
    if LAST in [stage.name for stage in stages]:
        publish(where)
    warn_of_outdated(where)
    return where


def to_do(stages: Sequence[Stage], fresh: bool) -> list[str]:
    """Name the stages that are not up to date, or read one that is not."""
    left: list[str] = []
    for stage in stages:
        reads_new = any(name in left for name in stage.inputs())
        if fresh or reads_new or not stage.is_current():
            left.append(stage.name)
    return left


def work_off(stages: Sequence[Stage], left: Sequence[str], fresh: bool) -> None:
    """Do the stages that are left, and say of each how long it took.

    Where they replace finished ones, they wait out of sight until the last of them is finished.

    :param left: the names of the stages to do.
    :param fresh: whether finished and begun work of a stopped call counts for nothing.
    """
    run = stages[0].run
    first = ROOM not in os.environ
    kept = [stage.name for stage in stages if stage.name not in left]
    if first:
        replacing = any((run / name).exists() for name in left)
        room = redo.prepare(run, left, kept) if replacing else run
        os.environ[ROOM] = str(room)
    else:  # another process of a training: it begins with the command line of the first
        room, fresh = Path(os.environ[ROOM]), False
        replacing = room != run
    for number, planned in enumerate(stages, start=1):
        headline = f"[{number}/{len(stages)}] {planned.name}"
        stage = replace(planned, out=room / planned.name)
        resumes = (replacing or not first) and not fresh
        if planned.name in kept or (resumes and stage.is_current()):
            print(f"{headline}: up to date", file=sys.stderr)
            continue
        print(headline, file=sys.stderr)
        begin = time.monotonic()
        if replacing and first:
            redo.drop(room, [later.name for later in stages if stage.name in later.inputs()])
        execute(stage, anew=fresh)
        print(f"{headline}: {duration(time.monotonic() - begin)}", file=sys.stderr)
        if stage.name == "data":
            show_data(stage.out)
        if stage.name == "ranker" and stages[-1].name in (LAST, "assumptions"):
            show_ranking(room, stages)
    if replacing:
        redo.exchange(run, left)


def show_data(folder: Path) -> None:
    """Print how much of the log is used, and what was left out for which reason."""
    from lightrec.report.page import data_lines

    print(data_lines(json.loads((folder / META).read_text())), end="", file=sys.stderr)


def show_ranking(run: Path, stages: Sequence[Stage]) -> None:
    """Print the table of the held-out log, long before the last stage prints all tables.

    :param run: where the ranker is.
    """
    from lightrec.stages.evaluate import early_ranking

    planned = next(stage for stage in stages if stage.name == LAST)
    table = early_ranking(replace(planned, out=run / LAST))
    if table:
        print(f"\n{table}\n", file=sys.stderr)


def duration(seconds: float) -> str:
    """Set a time for reading: ``8 s``, ``1 min 12 s``, ``2 h 5 min``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def warn_of_outdated(run: Path) -> None:
    """Say on standard error which stages of a run were made from others than are there now."""
    names = Run(run).stale(INPUTS)
    if names:
        print(
            f"lightrec: {run} still holds {', '.join(names)}, made from earlier inputs; no command "
            f"will open them. The same command with --until {names[-1]} makes them again.",
            file=sys.stderr,
        )


def check(stage: Stage) -> None:
    """See that a stage's settings can be used, before any stage before it has worked for hours.

    :raises LightrecError: where they cannot.
    """
    if stage.name in FUNCTIONS:
        plugins.installed().load_all()
        module, _, name = FUNCTIONS[stage.name]
        settings(stage, getattr(import_module(module), name))
    else:
        from lightrec.stages.train import check as check_training

        check_training(stage)


def command_of(
    domain: str,
    sources: Mapping[str, Path],
    offline: bool,
    seed: int | None,
    fast_dev_run: bool,
    overrides: Mapping[str, Sequence[str]],
) -> str:
    """Write down the command of a run, without its folder and its last stage."""
    words = ["lightrec", "run", domain]
    for role, path in sources.items():
        words += [f"--{role}", str(path)]
    words += ["--offline"] if offline else []
    words += ["--fast-dev-run"] if fast_dev_run else []
    words += [] if seed is None else ["--seed", str(seed)]
    for stage, given in overrides.items():
        words += [f"--{stage}.{word[2:]}" if word.startswith("--") else word for word in given]
    return shlex.join(words)


def find_recipes(domain: str) -> tuple[Path, str]:
    """Find the recipes of a run.

    :param domain: a set of recipes, a folder of them, or a domain without a set of its own.
    :returns: the folder, and the name that the run goes by.
    :raises RecipeError: where there is none of these.
    """
    found = plugins.installed()
    is_folder = Path(domain).is_dir()
    if not is_folder and domain in found.parts["domains"].keys() - found.parts["recipes"].keys():
        return recipes.folder("generic"), domain
    folder = recipes.folder(domain)
    return folder, folder.resolve().name


def publish(run: Path) -> None:
    """Copy the evaluation's results to the top of the run folder, each by one rename."""
    for name in SHOWN:
        if not (run / LAST / name).is_file():
            (run / name).unlink(missing_ok=True)
            continue
        shutil.copyfile(run / LAST / name, run / f".{name}.partial")
        os.replace(run / f".{name}.partial", run / name)


def plan(
    folder: Path,
    out: Path,
    sources: Mapping[str, Path],
    offline: bool,
    seed: int | None,
    overrides: Mapping[str, Sequence[str]],
    until: str = LAST,
    command: str = "",
) -> list[Stage]:
    """List the stages of a folder of recipes up to one, in order, without running anything.

    :raises RecipeError: where there is no such stage, or the folder lacks a recipe.
    """
    unknown = set(overrides) - set(INPUTS)
    if unknown:
        raise RecipeError(
            f"There is no stage {sorted(unknown)[0]!r} to override. The stages are: "
            f"{', '.join(INPUTS)}; write for example `--ranker.trainer.max_epochs 5`."
        )
    if until not in INPUTS:
        raise RecipeError(f"There is no stage {until!r}; the stages are {', '.join(INPUTS)}.")
    names = [*INPUTS][: [*INPUTS].index(until) + 1]
    stages: list[Stage] = []
    for name in names:
        path = folder / f"{name}.yaml"
        if not path.is_file():
            raise RecipeError(
                f"The folder {folder} lacks the recipe {name}.yaml; a run needs one for each of "
                f"{', '.join(names)}. Add it; or train one of the folder's recipes by itself with "
                "`lightrec fit -c RECIPE`."
            )
        extra = list(overrides.get(name, ()))
        if seed is not None:
            extra += ["--seed" if name in FUNCTIONS else "--seed_everything", str(seed)]
        if offline:
            extra = [*OFFLINE.get(name, ()), *extra]
        if name == "assumptions":
            # Not read from the policy's folder, which may be somebody else's.
            given = next(stage.overrides for stage in stages if stage.name == "policy")
            extra += ["--run_policy", json.dumps(list(given))]
        own = sources if name == "data" else {}
        stages.append(Stage(name, path, out / name, extra, own, command))
    return stages


def execute(stage: Stage, anew: bool = False) -> None:
    """Run one stage, whatever its state."""
    if anew:
        shutil.rmtree(stage.work, ignore_errors=True)
    if stage.name in FUNCTIONS:
        module, name, _ = FUNCTIONS[stage.name]
        getattr(import_module(module), name)(stage)
    else:
        from lightrec.stages.train import train

        train(stage)
