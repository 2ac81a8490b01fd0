"""The documentation as its readers see it: pages, blocks of code, inline code, links, headings."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted(p for p in (ROOT / "docs").rglob("*.md") if "_build" not in p.parts),
    *sorted((ROOT / "plugins").glob("*/README.md")),
]

FENCE = re.compile(
    r"(?P<marks>(?:^<!-- [^\n]*? -->\n)*)^```(?P<language>\S*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\((?P<target>[^)\s]+)\)")
INLINE = re.compile(r"(?<!`)`([^`\n]+(?:\n[^`\n]+)?)`(?!`)")


def name(page: Path) -> str:
    """The page's path in the repository."""
    return str(page.relative_to(ROOT))


@dataclass(frozen=True)
class Block:
    """One block of code.

    Marks are comments on the lines before it, which a reader of the page does not see:
    ``not run: why``, ``fails`` (with status 2), ``compared`` (the output must be the same),
    ``file: path`` (the text is that file's), ``made: path`` (the page's commands have written that
    file so), ``write: path`` (the reader makes that file of it).
    """

    page: Path
    line: int
    language: str
    text: str
    marks: dict[str, str]

    @property
    def where(self) -> str:
        return f"{name(self.page)}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for fence in FENCE.finditer(text):
        marks = re.findall(r"<!-- ([^:\n]+?)(?:: (.*?))? -->", fence["marks"])
        line = text[: fence.start("language")].count("\n") + 1
        yield Block(page, line, fence["language"], fence["text"], dict(marks))


def prose(text: str) -> str:
    """The text without its blocks of code."""
    return FENCE.sub("", text)


def inline_code(page: Path) -> list[str]:
    text = prose(page.read_text(encoding="utf-8"))
    return [" ".join(code.split()) for code in INLINE.findall(text)]


def links(text: str) -> list[str]:
    return [link["target"] for link in LINK.finditer(INLINE.sub("code", prose(text)))]


def anchors(text: str) -> set[str]:
    """Headings' anchors, as GitHub and MyST make them."""
    slugs: set[str] = set()
    for heading in re.findall(r"^#{1,6} (.+)$", prose(text), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading.replace("`", ""))
        slug = re.sub(r"[^\w\- ]", "", plain.strip().lower()).replace(" ", "-")
        number, base = 1, slug
        while slug in slugs:
            slug, number = f"{base}-{number}", number + 1
        slugs.add(slug)
    return slugs


def commands(block: Block) -> list[tuple[str, str]]:
    """The commands of a block of console input, each with the output shown below it."""
    pairs: list[tuple[str, str]] = []
    for line in block.text.splitlines(keepends=True):
        if line.startswith("$ "):
            pairs.append((line[2:], ""))
        elif pairs and pairs[-1][0].endswith("\\\n"):
            pairs[-1] = (pairs[-1][0] + line, "")
        elif pairs:
            pairs[-1] = (pairs[-1][0], pairs[-1][1] + line)
    return [(command.replace("\\\n", " ").strip(), output) for command, output in pairs]


def lines(block: Block) -> list[str]:
    """Whatever in a block may be a command: of a console its input, else every line."""
    if block.language == "console":
        return [command for command, _ in commands(block)]
    if block.language in ("", "text", "bash", "sh"):
        return [line.strip() for line in block.text.replace("\\\n", " ").splitlines()]
    return []
