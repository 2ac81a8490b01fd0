"""Commands are spelled right wherever pages and help name them: command, action and options."""

import argparse
import re
import shlex
from collections.abc import Iterator
from functools import cache

from lightrec import plugins
from lightrec.__main__ import commands, usage
from lightrec.cli.command import parser_of
from lightrec.stages import recipes
from lightrec.stages.run import VALUES
from tests.docs.pages import PAGES, blocks, inline_code, lines, name

SETS = plugins.installed().parts[plugins.RECIPES]
HEADS = {stage for name in SETS for stage in recipes.load(name).recipes}
HEADS |= {VALUES, "STAGE", "trainer", "model", "data"}
"""What a setting on the line may begin with."""
STANDS_FOR = re.compile(r"^(\w+\|)*[A-Z…]+$|^-|^…|^\[|^\{|…$")
"""What stands for something else, such as NAME or DOMAIN|FOLDER."""


@cache
def parsers() -> dict[str, argparse.ArgumentParser]:
    return {name: parser_of(part.load(), name) for name, part in commands().items()}


def sources() -> Iterator[tuple[str, str]]:
    """Every line that may be a command, with where it stands."""
    for page in PAGES:
        yield from ((block.where, line) for block in blocks(page) for line in lines(block))
        yield from ((name(page), code) for code in inline_code(page))
    for text in (usage(), *(parser.format_help() for parser in parsers().values())):
        yield from (("--help", line.strip()) for line in text.splitlines())


def check(line: str) -> None:
    """Check one line.

    :raises ValueError: where something in it does not exist.
    """
    _, *words = shlex.split(line, comments=True)
    if not words or STANDS_FOR.match(words[0]):
        return
    for length in (2, 1):
        if (parser := parsers().get(" ".join(words[:length]))) is not None:
            options = {*parser._option_string_actions, "--print_config"}
            for word in words[length:]:
                option, (head, dot, _) = word.partition("=")[0], word[2:].partition(".")
                setting = dot and head in HEADS
                if re.match(r"--?[a-z]", word) and option not in options and not setting:
                    raise ValueError(f"there is no option {option}")
            return
    names = {name.split()[0] for name in commands()}
    if words[0] not in names or (words[1:] and not STANDS_FOR.match(words[1])):
        raise ValueError(f"there is no command {' '.join(words[:2])!r}")


def test_commands_are_spelled_right():
    problems = []
    for where, line in sources():
        line = line.removeprefix(".venv/bin/")
        if line.startswith("lightrec "):
            try:
                check(line)
            except ValueError as error:
                problems.append(f"{where}: {line}\n    {error}")
    assert not problems, "\n".join(problems)
