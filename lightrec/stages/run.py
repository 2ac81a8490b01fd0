"""`lightrec run`: all stages in their order, skipping those whose inputs have not changed."""

import gc
import json
import os
import shlex
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lightrec import plugins
from lightrec.blame import blaming
from lightrec.data.files import check_input, is_url, leaving_nothing, located, without_password
from lightrec.errors import PluginError, RecipeError, warn
from lightrec.memory import give_back
from lightrec.run import Run
from lightrec.settings import values_of
from lightrec.stages import recipes, redo
from lightrec.stages.recipes import RecipeSet
from lightrec.stages.stage import Stage, function_of, publish

if TYPE_CHECKING:
    from lightrec.data.domain import Domain

ROOM = "LIGHTREC_ROOM"
"""Environment variable by which the processes that a training starts find the stages' folder."""
BEGINNING, EVALUATE = "data", "evaluate"
"""The stage that reads the log, and the one that shows how good all others are."""
SOURCES = "sources"
"""Folder in a run: copies of tables from databases."""
NEXT = "next"
"""The goal that needs no long run, and the set of recipes that leaves it out."""
FAR = "far"
"""The world in place of a log, for domains without a synthetic one, and the recipes that fit it."""
VALUES = "values"
"""First word of settings of the recipes' shared values, in place of a stage's name."""


def run(
    domain: str,
    *,
    out: Path | str | None = None,
    log: Path | str | None = None,
    items: Path | str | None = None,
    users: Path | str | None = None,
    types: str | None = None,
    goal: Sequence[str] = (),
    weights: str | Mapping[str, float] | None = None,
    repeats: bool = False,
    offline: bool = False,
    seed: int | None = None,
    fresh: bool = False,
    fast_dev_run: bool = False,
    until: str | None = None,
    strict: bool = False,
    overrides: Mapping[str, Sequence[str]] | None = None,
) -> Path:
    """Run the stages of a domain and leave the results in one folder.

    The arguments are the options of ``lightrec run``.

    :param domain: an installed set of recipes such as video, a folder of recipes, or an installed
        domain, which takes the generic recipes where it has none of its own.
    :param out: the run folder (default: runs/DOMAIN).
    :param log: your interaction log (default: the domain's sample).
    :param items: your item table.
    :param users: your user table.
    :param types: kinds of attributes of items and users, in place of those recognised:
        {genres: list, zip: category}.
    :param goal: the kinds of events to bring about, such as purchase: only they are held out and
        judged on, and only what they are about is not recommended again (default: every kind).
        Next, alone or besides, ranks the next event and does no more: data, ranker and evaluate
        alone, in a fraction of the time.
    :param weights: what an event of each kind is worth, '{view: 0.1, cart: 0.3, purchase: 1}'; of
        negative worth: in histories, never to be brought about; 0: left out (default: as the
        domain says, else 1 each, but 0.1 for what is not the goal or, without one, leads to another
        kind, and -1 for returns, skips and the like).
    :param repeats: items may come again, and be recommended again (default: as the domain says).
    :param offline: run on the domain's synthetic log, or else the world 'far', and no log.
    :param seed: the seed of every stage, in place of the recipes'.
    :param fresh: run every stage again.
    :param fast_dev_run: train every stage on a single batch, to see whether everything fits; the
        results mean nothing and go into a folder of their own, runs/DOMAIN-fast-dev-run.
    :param until: the last stage to do, such as ranker, or one that another installed set adds, such
        as a plugin's generator (default: all but optional ones, such as assumptions, which are done
        only where they are named here).
    :param strict: refuse to run while any plugin is broken, instead of a warning.
    :param overrides: LightningCLI settings by stage, such as
        ``{"ranker": ["--trainer.max_epochs", "5"]}``; under ``values``, the recipes' shared values,
        such as ``["--leave_rate", "0.1"]``.
    :returns: the run folder, with ``metrics.json`` and ``report.html``.
    :raises LightrecError: where the input, a recipe or a plugin cannot be used.
    """
    complaints = plugins.installed().complaints
    if strict and complaints:
        raise PluginError("\n".join(complaints))
    for sentence in complaints:
        plugins.warn(sentence)
    tables = {"log": log, "items": items, "users": users}
    sources = {role: located(path) for role, path in tables.items() if path is not None}
    for path in sources.values():
        check_input(path)
    if offline and sources:
        raise RecipeError("--offline makes its own log: leave out --log, --items and --users.")
    overrides = {**(overrides or {})}
    brief = [word for word in goal if word == NEXT]
    goals = [word for word in goal if word != NEXT]
    settings: dict[str, object] = {"types": types, "goal": goals or None, "weights": weights}
    settings["repeats"] = repeats or None
    of_data = {option: written(v) for option, v in settings.items() if v is not None}
    kinds = ["offline"] * offline + ["fast-dev-run"] * fast_dev_run
    options: dict[str, object] = {r: without_password(str(path)) for r, path in sources.items()}
    options |= {**of_data, "goal": [*goal] or None, "repeats": None, "seed": seed}
    command = command_of(domain, options, [*kinds, *["repeats"] * repeats], overrides)
    words = ["--offline=true"] * offline
    words += [f"--{option}={value}" for option, value in of_data.items()]
    layers, values = ["fast-dev-run"] * fast_dev_run + brief, values_of(overrides.pop(VALUES, []))
    name, recipe_set = find_recipes(domain, layers, values, until)
    if name != recipe_set.name:
        words = ["--domain", name, *words]
    overrides[BEGINNING] = [*words, *overrides.get(BEGINNING, ())]
    if offline and not has_synthetic(recipe_set, overrides[BEGINNING]):
        _, recipe_set = find_recipes(domain, [FAR, *layers], values, until)
    where = Path(out) if out else Path("runs") / "-".join([name, *kinds])
    if brief and Run(where, follow=False).has("policy"):
        raise RecipeError(
            f"{where} holds the long run, whose evaluation would give way to that of a run without "
            f"it: leave out --goal {NEXT}, or name another folder with --out."
        )
    refusing = leaving_nothing(where / SOURCES, where / BEGINNING)
    with refusing, redo.alone(where, "run"):
        sources = {role: in_file(path, where, role) for role, path in sources.items()}
        stages = plan(recipe_set, where, sources, seed, overrides, until, command)
        redo.complete(where)
        left: list[str] = []
        for stage in stages:
            # Whatever reads a stage that is not up to date is not, either.
            if fresh or {*stage.inputs} & {*left} or not stage.is_current():
                left.append(stage.name)
                check(stage)
        if {"users_a", "users_b"} & {*left}:
            from lightrec.stages.train import check_planned_halves

            check_planned_halves(stages)
        first, later = ROOM not in os.environ, Run(where).version
        try:
            work_off(stages, left, fresh)
        finally:
            if first:
                os.environ.pop(ROOM, None)
                redo.tidy(where)
        answers = Run(where).version
        for stage in stages if answers == 1 else ():
            publish(stage.recipe, stage.out, where)
    if later > 1:
        said = "version 1 was made again, and" if answers == 1 else f"version {answers}"
        print(
            f"lightrec: {where} was updated since: {said} answers. `lightrec runs list {where}` "
            "shows all versions, and `lightrec runs promote` lets another one answer.",
            file=sys.stderr,
        )
    if outdated := Run(where, follow=False).stale(recipes.in_order(recipe_set.recipes)):
        print(
            f"lightrec: {where} still holds {', '.join(outdated)}, made from earlier inputs; no "
            f"command will open them. The same command with --until {outdated[-1]} makes them "
            "again.",
            file=sys.stderr,
        )
    return where


def written(value: object) -> str:
    """A setting's value as a word of a command line."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def command_of(
    domain: str,
    options: Mapping[str, object],
    flags: Sequence[str],
    overrides: Mapping[str, Sequence[str]],
) -> str:
    """Write down the command of a run, without its folder and its last stage."""
    words = ["lightrec", "run", domain, *(f"--{flag}" for flag in flags)]
    for option, value in options.items():
        values = value if isinstance(value, list) else [value]
        words += [] if value is None else [f"--{option}", *map(str, values)]
    for stage, line in overrides.items():
        words += [f"--{stage}.{word[2:]}" if word.startswith("--") else word for word in line]
    return shlex.join(words)


def check(stage: Stage) -> None:
    """See that a stage's settings can be used, before any stage before it has worked for hours.

    :raises LightrecError: where they cannot.
    """
    if stage.function:
        function_of(stage)
    else:
        from lightrec.stages.train import ParsedRecipe

        ParsedRecipe(stage)


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
    resumes = (replacing or not first) and not fresh
    for number, planned in enumerate(stages, start=1):
        stage = replace(planned, out=room / planned.name)
        todo = planned.name in left and not (resumes and stage.is_current())
        if todo and replacing and first:
            redo.drop(room, [later.name for later in stages if stage.name in later.inputs])
        do(stage, f"[{number}/{len(stages)}] {stage.name}", todo, anew=fresh)
        if todo and first:
            show(stage, stages)
    if replacing:
        redo.exchange(run, left)


def do(stage: Stage, headline: str, todo: bool, *, anew: bool = False) -> None:
    """Do a stage and say how long it took; say that it is up to date where nothing is to do."""
    print(headline if todo else f"{headline}: up to date", file=sys.stderr)
    if todo:
        begin = time.monotonic()
        execute(stage, anew)
        print(f"{headline}: {duration(time.monotonic() - begin)}", file=sys.stderr)


def show(done: Stage, stages: Sequence[Stage]) -> None:
    """Print what a stage makes known long before the last one prints all tables.

    Of the data, how much of the log is used; of the ranker, how it ranks the held-out log.
    """
    if done.name == BEGINNING:
        from lightrec.data.store import META, EventStore
        from lightrec.report.page import data_lines, language_advice

        print(data_lines(json.loads((done.out / META).read_text())), end="", file=sys.stderr)
        for stage in [planned for planned in stages if planned.name == "ranker"]:
            from lightrec.stages.train import ParsedRecipe

            settings = ParsedRecipe(stage).config["data"]["init_args"].as_dict()
            if sentence := language_advice(EventStore(done.out), settings.get("text_encoder")):
                plugins.warn(sentence)
    if done.name == "ranker":
        from lightrec.stages.evaluate import early_ranking, first_lists

        # Where evaluation comes next, the table comes with it.
        for stage in [each for each in stages if each.name == EVALUATE and len(each.inputs) > 2]:
            table = early_ranking(replace(stage, out=done.run / EVALUATE))
            print(f"\n{table}\n\n" if table else "", end="", file=sys.stderr)
        print(f"{first_lists(done.run)}\n", file=sys.stderr)


def duration(seconds: float) -> str:
    """Set a time for reading: ``8 s``, ``1 min 12 s``, ``2 h 5 min``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def find_recipes(
    domain: str,
    overlays: Sequence[str] = (),
    values: Mapping[str, object] | None = None,
    until: str | None = None,
) -> tuple[str, RecipeSet]:
    """Find the recipes of a run: a set, a folder, or generic for a domain without a set of its own.

    :param overlays: sets that are laid over it.
    :param values: in place of those that its recipes share.
    :param until: the last stage to do, which may be another installed set's.
    :returns: the name that the run goes by, and the recipes.
    :raises RecipeError: where there is none of these.
    """
    parts = plugins.installed().parts
    without = parts["domains"].keys() - parts[plugins.RECIPES].keys()
    alone = domain in without and not Path(domain).is_dir()
    recipe_set = recipes.load("generic" if alone else domain, overlays, values)
    if recipe_set.overlay or BEGINNING not in recipe_set.recipes:
        raise RecipeError(
            f"The recipes of {domain} make no run: there is none of the stage {BEGINNING}, with "
            f"which a run begins. Add {BEGINNING}.yaml, or lay the set over another with `over: "
            "generic` in its set.yaml; or train one of its recipes by itself with `lightrec fit "
            "-c RECIPE`."
        )
    prepared = recipe_set.recipes[BEGINNING].get("domain")
    if recipe_set.name in parts["domains"] and prepared != recipe_set.name:
        warn(
            f"The recipes of {recipe_set.name} prepare data of the domain {prepared}: to have the "
            f"words and masks of the domain {recipe_set.name}, write `domain: {recipe_set.name}` "
            f"in its {BEGINNING}.yaml, or say --{BEGINNING}.domain {recipe_set.name}."
        )
    if until is not None:
        recipes.take(recipe_set, until, overlays)
    return domain if alone else recipe_set.name, recipe_set


def has_synthetic(recipe_set: RecipeSet, words: Sequence[str]) -> bool:
    """Return whether the domain of a run writes a synthetic log.

    :param words: settings of the data stage in place of its recipe's.
    """
    name = {"domain": "generic", **recipe_set.recipes[BEGINNING], **values_of(words)}["domain"]
    domain: Domain = plugins.installed().get("domains", name).made()
    return domain.has_synthetic


def in_file(path: Path, where: Path, role: str) -> Path:
    """Copy the table of a URL into a file of the run, so that its content is known from others'.

    :returns: the path itself where it is no URL.
    """
    if not is_url(path):
        return path
    from lightrec.data.readers.base import find_reader

    return find_reader(path).fetch(path, where / SOURCES / f"{role}.parquet")


def plan(
    recipe_set: RecipeSet,
    out: Path,
    sources: Mapping[str, Path],
    seed: int | None = None,
    overrides: Mapping[str, Sequence[str]] | None = None,
    until: str | None = None,
    command: str = "",
) -> list[Stage]:
    """List the stages of a set of recipes up to one, in order, without running anything.

    :raises RecipeError: where there is no such stage, or settings are given for one that is not
        done.
    """
    chosen = overrides or {}
    order = recipes.in_order(recipe_set.recipes)
    names = recipes.until(recipe_set.recipes, until)
    for name in chosen:
        if name not in order:
            raise RecipeError(
                f"There is no stage {name!r} to override. The stages are: {', '.join(order)}; "
                "write for example `--ranker.trainer.max_epochs 5`."
            )
        if until is None and name not in names:
            raise RecipeError(
                f"There are settings for the stage {name}, which this run does not do. "
                f"Add --until {name}, or leave them out."
            )
    stages: dict[str, Stage] = {}
    for name in names:
        recipe = recipe_set.resolved(name)
        extra = list(chosen.get(name, ()))
        if "like" in recipe:
            extra = [*chosen.get(recipe["like"], ()), *recipe_set.words(name), *extra]
        seeds = [key for key in ("seed_everything", "seed") if key in recipe]
        if seed is not None and seeds:
            extra += [f"--{seeds[0]}", str(seed)]
        inputs = sources if name == BEGINNING else {}
        stages[name] = Stage(name, recipe, out / name, extra, inputs, command, dict(stages))
    return list(stages.values())


def execute(stage: Stage, anew: bool = False) -> None:
    """Run one stage, whatever its state.

    :raises PluginError: where a part that is not lightrec's own raises an error.
    """
    if anew:
        shutil.rmtree(stage.work, ignore_errors=True)
    with blaming(None, f"do its part in the stage {stage.name}"):
        if stage.function:
            function, settings = function_of(stage)
            function(stage, **settings)
        else:
            from lightrec.stages.train import train

            train(stage)
            gc.collect()  # a trainer and what it trained hold each other
    give_back()
