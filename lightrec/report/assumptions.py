"""The page on what the result owes to the named assumptions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightrec.evaluation.sections import Section, Table, number, signed
from lightrec.report import plots
from lightrec.report.page import Metrics, write_metrics, write_page
from lightrec.report.sessions import CONTENDERS, paired


def write(
    run: Path, folder: Path, cells: Sequence[Mapping[str, Any]], stages: Sequence[str]
) -> None:
    """Write ``report.html`` and ``metrics.json`` into a folder.

    :param run: the run folder.
    :param cells: ``name``, ``title`` and the ``metrics`` of each.
    :param stages: the stages whose settings are quoted.
    """
    metrics = {
        f"sensitivity/{cell['name']}/{key.removeprefix('simulator/')}": value
        for cell in cells
        for key, value in cell["metrics"].items()
    }
    write_metrics(folder, metrics)
    write_page(run, folder, stages, [sensitivity(metrics, cells)], [], "")


def sensitivity(metrics: Metrics, rows: Sequence[Mapping[str, Any]]) -> Section:
    """Say what the result owes to the named assumptions.

    :param metrics: ``sensitivity/CELL/…``.
    :param rows: the cells: ``name`` and ``title``.
    """
    table, drawn_rows = [], {}
    for row in rows:
        advantages = paired(metrics, f"sensitivity/{row['name']}")
        cells = [signed(*advantage) for advantage in advantages.values()]
        table.append(
            [row["title"], number(metrics[f"sensitivity/{row['name']}/policy/accepted"]), *cells]
        )
        drawn_rows[row["title"]] = advantages[CONTENDERS["blend"]]
    drawn, axes = plots.figure(7, 0.32 * len(drawn_rows) + 0.8)
    plots.intervals(axes[0], drawn_rows, "policy − greedy by the blend, accepted a session")
    heads = [f"policy − {title}" for title in paired(metrics, f"sensitivity/{rows[0]['name']}")]
    return Section(
        "What the assumptions do",
        "A log without impressions says nothing of how far people look ahead (γ), how often they "
        "choose nothing and how often they leave. Here each named assumption is halved and "
        "doubled: γ by its horizon 1 / (1 − γ), choosing nothing by its odds, leaving by its rate. "
        "Reward and policy are learned anew each time, and judged in user model B under the same "
        "assumption.",
        [Table(["", "policy: accepted", *heads], table)],
        plots.svg(drawn),
    )
