"""A linter for prose: words that pages, docstrings and comments do not use.

`python -m docs.words` lists them with what to write instead, by file and line, and fails where a
page, or a docstring, a comment or a message of code has one. The words are those of
`docs/words.yaml`; blocks of code, what is set in backquotes or braces, names of parameters and
addresses are not looked at. It fails, too, where a catalog of Chinese sentences has one that code
no longer says, or lacks one that the service's page says.
"""

import io
import itertools
import json
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


CATALOGS = {
    "lightrec/report/zh.json": (
        "lightrec/**/*.py",
        "lightrec/report/*.j2",
        "plugins/*/lightrec_*/*.py",
    ),
    "plugins/lightrec-serve/lightrec_serve/page/zh.json": (
        "plugins/lightrec-serve/lightrec_serve/page/*.js",
        "plugins/lightrec-serve/lightrec_serve/page/*.html",
        "plugins/lightrec-serve/lightrec_serve/*.py",
    ),
}
"""Catalogs of sentences, and the files that say what they translate."""
CALLED = re.compile(r'\bt\("((?:[^"\\]|\\.)+)"')
"""A sentence of the service's page that is to be translated."""


def triples(text: str) -> set[tuple[str, ...]]:
    """Each three words that follow each other, or all, where there are fewer."""
    parts = (re.findall(r"[^\W\d_]+", part) for part in re.split(r"\{\w*\}|[,.;:()]", text))
    return {(*p[at : at + 3],) for p in parts if p for at in range(max(len(p) - 2, 1))}


def untranslated() -> list[str]:
    """What catalogs lack, and what they have that code no longer says.

    Code puts sentences together of pieces: half of a sentence's triples of words are enough.
    """
    wrong = []
    for catalog, patterns in CATALOGS.items():
        files = [file for pattern in patterns for file in sorted(ROOT.glob(pattern))]
        texts = [file.read_text("utf-8").replace(r"\u00a0", "\xa0") for file in files]
        said = re.sub(r'"\s*f?"', "", "\n".join(texts))  # literals that Python joins
        known = " ".join(re.findall(r"[^\W\d_]+", re.sub(r'\{[^{}\n;"]*\}', " ", said)))
        keys = json.loads((ROOT / catalog).read_text("utf-8"))
        for key in keys:
            found = [" ".join(words) in known for words in triples(key)]
            if sum(found) < len(found) / 2:
                wrong.append(f"{catalog}: code does not say {key!r}")
        calls = itertools.chain(*map(CALLED.findall, texts))
        wrong += [f"{catalog} lacks {call!r}" for call in calls if call not in keys]
    return wrong


def main() -> int:
    """Print what was found; 1 where it is anything."""
    code = sorted(p for name in ("lightrec", "plugins") for p in (ROOT / name).rglob("*.py"))
    code = [file for file in code if "tests" not in file.parts]
    said, wrong = found(itertools.chain(pages(), code)), untranslated()
    print(*said, *wrong, f"{len(said)} words that have a plainer one", sep="\n")
    return int(bool(said or wrong))


if __name__ == "__main__":
    sys.exit(main())
