"""A linter for prose: words that pages, docstrings and comments do not use.

`python -m docs.words` lists them with what to write instead, by file and line, and fails where a
page has one, or where code has more than it is allowed: that number may only fall. The words are
those of `docs/words.yaml`; blocks of code and what is set in backquotes are not
looked at, nor are addresses.
"""

import io
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
CODE = re.compile(
    r"^```.*?^```|`[^`]+`|\]\([^)]*\)|<!-- from.*?<!-- end -->|<!--.*?-->",
    re.DOTALL | re.MULTILINE,
)
ALLOWED = 1_000
"""Words in the docstrings and comments of code that are still to be replaced."""


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
            said = token.string.startswith(('"""', "#", 'r"""'))
            if said and token.type in (tokenize.STRING, tokenize.COMMENT):
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
    """Print what was found; 1 where it is too much."""
    code = found(p for name in ("lightrec", "plugins") for p in sorted((ROOT / name).rglob("*.py")))
    said = found(pages())
    print("\n".join([*said, *(code if "--code" in sys.argv or len(code) > ALLOWED else [])]))
    print(f"{len(said)} on pages, {len(code)} of {ALLOWED} allowed in code")
    return int(bool(said) or len(code) > ALLOWED)


if __name__ == "__main__":
    sys.exit(main())
