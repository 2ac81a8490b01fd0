"""The summary for a terminal."""

import textwrap
from collections.abc import Sequence

from lightrec.evaluation import held_out, predictions, session_tables
from lightrec.evaluation.base import Metrics
from lightrec.evaluation.evidence import favoured

WIDTH = 100
"""Characters of a line in a terminal."""


def recommending(metrics: Metrics) -> str:
    """Say what `lightrec recommend` ranks by, and why."""
    chosen = favoured(metrics)
    by = "the policy" if chosen.by == "policy" else "the blend (--by blend)"
    return f"`lightrec recommend` ranks by {by}. {chosen.reason}"


def summary(metrics: Metrics, tables: Sequence[str] | None = None) -> str:
    """Set the headline numbers of a finished run, or of its ranker's stage, and of predictions.

    :param tables: of its evaluators; None for those of lightrec's own.
    """
    if tables is None:
        ranked = held_out.ranking_table(metrics).text() if held_out.rankers(metrics) else ""
        played = session_tables.summary(metrics), session_tables.truth_line(metrics)
        tables = [ranked, predictions.lines(metrics), *played]
    validated = None if "test/events" in metrics else held_out.validation_table(metrics)
    by = "\n".join(textwrap.wrap(recommending(metrics), WIDTH))
    shown = ["" if validated is None else validated.text(), *tables]
    shown.append(by if session_tables.contenders(metrics) else "")
    return "\n".join(f"{table}\n" for table in shown if table)
