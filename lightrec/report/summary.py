"""The summary for a terminal."""

import textwrap
from collections.abc import Sequence

from lightrec.evaluation import held_out, predictions, session_tables
from lightrec.evaluation.base import Metrics
from lightrec.evaluation.evidence import Favoured, favoured, named
from lightrec.run import Run

WIDTH = 100
"""Characters of a line in a terminal."""


LONG_RUN = (
    "This run ranks the next event. The long run, which takes many times as long, adds user models "
    "that are learned from what people chose, a policy that is trained in them to please for whole "
    "sessions, and a report on whether it does."
)
"""What a run with the goal `next` lacks."""


_STAGES = {
    "text": "the tuning of texts",
    "users_a": "user model A",
    "users_b": "user model B",
    "assumptions": "the assumptions",
}


def from_before(run: Run) -> str:
    """Say from which versions the stages are that an update left as they were; empty for none."""
    by_version: dict[int, list[str]] = {}
    for stage, noted in run.about.get("elsewhere", {}).items():
        by_version.setdefault(noted["version"], []).append(_STAGES.get(stage, f"the {stage}"))
    parts = [
        f"of version {number}: {', '.join(names)}" for number, names in sorted(by_version.items())
    ]
    if not parts:
        return ""
    return (
        "An update makes data, ranker and their evaluation. All else is as it was before, and so "
        f"are the figures of simulated sessions in that version's report; {'; '.join(parts)}."
    )


def recommending(chosen: Favoured) -> str:
    """Say what `lightrec recommend` ranks by, and why."""
    return f"`lightrec recommend` ranks by {named(chosen.by)}. {chosen.reason}"


def summary(metrics: Metrics, tables: Sequence[str] | None = None) -> str:
    """Set the headline numbers of a finished run, or of its ranker's stage, and of predictions.

    :param tables: of its evaluators; None for those of lightrec's own.
    """
    if tables is None:
        ranked = held_out.lines(metrics, metrics) if held_out.rankers(metrics) else ""
        tables = [ranked, predictions.lines(metrics), session_tables.summary(metrics)]
    validated = None if "test/events" in metrics else held_out.validation_table(metrics)
    by = "\n".join(textwrap.wrap(recommending(favoured(metrics)), WIDTH))
    shown = ["" if validated is None else validated.text(), *tables]
    shown.append(by if session_tables.contenders(metrics) else "")
    return "\n".join(f"{table}\n" for table in shown if table)
