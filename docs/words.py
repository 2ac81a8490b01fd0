"""A linter for prose: words that pages, docstrings and comments do not use.

`python -m docs.words` lists them with what to write instead, by file and line, and fails where a
page, or a docstring, a comment or a message of code has one. The words are those of
`docs/words.yaml`; blocks of code, what is set in backquotes or braces, names of parameters and
addresses are not looked at.
"""

import io
import itertools
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
SAID = {
    re.compile(rf"\b(?:{pattern})\b"): instead
    for pattern, instead in yaml.safe_load(
        (ROOT / "docs" / "words.yaml").read_text("utf-8")
    ).items()
}
FSTRING = getattr(tokenize, "FSTRING_MIDDLE", tokenize.COMMENT)  # its own kind from 3.12 on
CODE = re.compile(
    r"^```.*?^```|`+[^`]+`+|:param \w+:|\{[^{}\n]*\}|\]\([^)]*\)|<!-- from.*?<!-- end -->"
    "|<!--.*?-->",
    re.DOTALL | re.MULTILINE,
)


def pages() -> Iterator[Path]:
    """The pages that people read; the changelog tells of what was."""
    yield from (ROOT / name for name in ("README.md", "CONTRIBUTING.md"))
    yield from sorted(p for p in (ROOT / "docs").rglob("*.md") if "_build" not in p.parts)
    yield from sorted((ROOT / "plugins").glob("*/README.md"))


def prose(file: Path) -> str:
    """What a file says, line by line where it says it."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".py":
        lines = [""] * (text.count("\n") + 2)
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            said = token.string.startswith(('"""', "#", 'r"""')) or token.string.count(" ") > 1
            if said and token.type in (tokenize.STRING, tokenize.COMMENT, FSTRING):
                for number, line in enumerate(token.string.split("\n"), token.start[0]):
                    lines[number - 1] += line
        text = "\n".join(lines)
    return CODE.sub(lambda code: re.sub(r"[^\n]", "", code.group()), text)


def found(files: Iterator[Path]) -> list[str]:
    """Where a word is used that has a better one."""
    return [
        f"{file.relative_to(ROOT)}:{number}: {word.group()!r}: write {instead}"
        for file in files
        for number, line in enumerate(prose(file).split("\n"), 1)
        for pattern, instead in SAID.items()
        for word in pattern.finditer(line)
    ]


def main() -> int:
    """Print what was found; 1 where it is anything."""
    code = sorted(p for name in ("lightrec", "plugins") for p in (ROOT / name).rglob("*.py"))
    code = [file for file in code if "tests" not in file.parts]
    said = found(itertools.chain(pages(), code))
    print(*said, f"{len(said)} words that have a plainer one", sep="\n")
    return int(bool(said))


if __name__ == "__main__":
    sys.exit(main())
