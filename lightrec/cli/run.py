"""`lightrec run`: whole runs."""

import shlex
import textwrap
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from lightrec.cli.command import with_options_of
from lightrec.data.readers.base import read_tables
from lightrec.errors import RecipeError
from lightrec.run import Run
from lightrec.stages import recipes
from lightrec.stages import run as stages
from lightrec.stages.recipes import RecipeSet

READING = ("reader", "columns", "item_columns", "user_columns", "times", "skip_broken")
"""Options that are settings of the stage that reads the log."""


@with_options_of(stages.run, but="overrides")
@with_options_of(read_tables, but="items users types")
def run(domain: str, *settings: str, leave_out_bots: bool = False, **options: Any) -> None:
    """Do all stages in order, skipping those whose inputs have not changed.

    examples:
      lightrec run video
      lightrec run video --offline
      lightrec run video --fast-dev-run
      lightrec run generic --log my.csv --goal next
      lightrec run generic --log my.csv --items my_items.csv --out runs/mine
      lightrec run generic --log shop.csv --goal purchase
      lightrec run generic --log shop.csv --goal purchase --weights '{view: 0.1, purchase: 1}'
      lightrec run generic --log my.csv --columns '{user: customer, item: sku, time: ts}'
      lightrec run video --ranker.trainer.max_epochs 5 --policy.data.init_args.slate_size 3

    Any setting of any stage's recipe can be given as --STAGE.SETTING VALUE, and values that several
    recipes share as --values.NAME VALUE; `lightrec recipes show video` shows stages and settings.

    :param leave_out_bots: leave out the events of users who are programs; `lightrec data check`
        shows who they are and why.
    """
    brief = stages.NEXT in options["goal"]
    if leave_out_bots:
        settings = ("--data.leave_out_bots=true", *settings)
    where, recipe_set, _ = made(domain, settings, options)
    for name in recipes.until(recipe_set.recipes, options["until"]):
        shown = recipes.names(recipe_set.recipes[name], "shows")
        if "summary.txt" in shown:
            print((where / "summary.txt").read_text("utf-8"), end="")
        if (report := where / name / "report.html").is_file():
            at_top = "report.html" in shown
            print(f"report: {where / 'report.html'}" if at_top else f"{name}: {report}")
    if brief and options["until"] is None:
        from lightrec.report.summary import LONG_RUN, WIDTH

        words = shlex.split(Run(where, follow=False).stamp(stages.EVALUATE)["command"])
        words = [word for word in words if word != stages.NEXT]
        at = words.index("--goal")
        if [word[:2] for word in words[at + 1 : at + 2]] in ([], ["--"]):
            words.pop(at)
        command = shlex.join([*words, "--out", str(where)])
        print(f"\n{textwrap.fill(f'{LONG_RUN} This command runs it:', WIDTH)}\n  {command}")


def made(
    domain: str, settings: Sequence[str], options: dict[str, Any]
) -> tuple[Path, RecipeSet, dict[str, list[str]]]:
    """Make a run as a line asks for it.

    :param settings: words of the line that are settings of stages.
    :param options: those of :func:`run`; what reads the log is taken out.
    :returns: its folder, its recipes, and the settings by stage.
    """
    overlays = [stages.NEXT] if stages.NEXT in options["goal"] else []
    _, recipe_set = stages.find_recipes(domain, overlays, until=options["until"])
    reading = {name: value for name in READING if (value := options.pop(name))}
    words = [f"--data.{name}={stages.written(value)}" for name, value in reading.items()]
    names = [*recipes.in_order(recipe_set.recipes), stages.VALUES]
    overrides = stage_overrides([*words, *settings], names)
    return stages.run(domain, **options, overrides=overrides), recipe_set, overrides


def stage_overrides(words: Sequence[str], stages: Collection[str]) -> dict[str, list[str]]:
    """Sort ``--ranker.trainer.max_epochs 5`` into ``{"ranker": ["--trainer.max_epochs", "5"]}``.

    :param stages: of the run, and what else a setting may begin with.
    :raises RecipeError: where a word belongs to no stage.
    """
    overrides: dict[str, list[str]] = {}
    current: list[str] | None = None
    for word in words:
        if word.startswith("--"):
            head, dot, tail = word[2:].partition(".")
            if not dot or head not in stages:
                raise RecipeError(
                    f"There is no option {word.partition('=')[0]}. The command's --help lists "
                    f"them; a stage's setting begins with one of {', '.join(stages)}."
                )
            current = overrides.setdefault(head, [])
            word = f"--{tail}"
        if current is None:
            raise RecipeError(f"I do not know what to do with the argument {word!r}.")
        current.append(word)
    return overrides
