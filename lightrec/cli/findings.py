"""What `lightrec data check` prints where the files can be used."""

from pathlib import Path

from lightrec.data.findings import Findings
from lightrec.data.treatments import KEPT, LEFT_OUT, in_words

_WIDTH = 14


def render(path: Path, findings: Findings) -> str:
    """Set findings as a short table."""
    counts = findings.counts
    lines = [f"{path} can be used.", ""]
    lines += [_line(name, f"{counts[name]:,}") for name in ("events", "users", "items")]
    if findings.times is not None:
        lines.append(_line("time", f"{findings.times[0]} to {findings.times[1]}"))
    else:
        lines.append(_line("time", "none; the order of the file counts"))
    shown = list(findings.feedback.items())[:10]
    lines.append(_line("feedback", ", ".join(f"{name} {count:,}" for name, count in shown)))
    taken = [n if c == n else f"{n} as {c}" for c, n in findings.columns.items()]
    lines.append(_line("columns", ", ".join(taken)))
    if findings.ignored:
        lines.append(_line("not used", ", ".join(name or "''" for name in findings.ignored)))
    for title, kinds in (("left out:", LEFT_OUT), ("kept, but:", KEPT)):
        told = in_words(counts, kinds, findings.left_out)
        if told:
            lines += ["", title, *(f"{count:>{_WIDTH - 2},}  {words}" for count, words in told)]
    return "\n".join(lines) + "\n"


def _line(name: str, text: str) -> str:
    return f"{name:<{_WIDTH}}{text}"
