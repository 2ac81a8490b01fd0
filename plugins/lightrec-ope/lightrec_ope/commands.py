"""`lightrec estimate`: what a run would earn, from a log of what somebody else showed."""

import json
import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from lightrec.cli.command import with_options_of
from lightrec.data.readers.base import read_tables


@with_options_of(read_tables, but="items users item_columns user_columns types")
def estimate(
    run: Path,
    log: Path,
    *,
    by: Literal["blend", "policy"] = "blend",
    interval: Literal["student", "bootstrap"] = "bootstrap",
    seed: int = 0,
    out: Path | None = None,
    **reading: Any,
) -> None:
    """Estimate what a run would earn, from a log of items that somebody else showed.

    examples:
      lightrec estimate runs/shop shown.csv
      lightrec estimate runs/shop shown.csv --by policy --interval student
      lightrec estimate runs/shop shown.csv --columns '{value: clicked, propensity: p}'

    The log has a row for each item that was shown, with its user, its reward (value, such as 1 for
    a click and 0 for none) and the probability with which it was shown (propensity); perhaps with
    the items that could have been shown (candidates), and of slates the impression and the
    position. What would have been shown is what `lightrec recommend` lists, by what was known
    before the round; the log should be newer than the run's own. Each estimate comes with a 95 %
    interval over users and a verdict; one that cannot be believed shows no number.

    :param run: a run folder, such as runs/shop.
    :param log: the log of what was shown.
    :param by: what shows the items: blend, which always shows its best one; policy, by its law.
    :param interval: bootstrap or student.
    :param seed: of the bootstrap, and of the folds of the reward model.
    :param out: write all of it into this JSON file, too.
    """
    from lightrec.evaluation.base import Table
    from lightrec.report.summary import WIDTH
    from lightrec.run import Run
    from lightrec_ope.estimators import Verdict
    from lightrec_ope.shown import estimates, not_newer

    tables = read_tables(log, **reading)
    opened = Run(run)
    made = estimates(opened, tables.log, by, interval, seed)
    if old := not_newer(opened, tables.log):
        print(
            f"NOT NEWER: {old:,} of {len(tables.log):,} rounds are not after the run's last event. "
            "It may have learned what they brought, which flatters it: take an earlier version of "
            "the run, or later rounds.",
            end="\n\n",
        )
    if all(each.verdict is Verdict.UNUSABLE for name, each in made.items() if name != "log"):
        print("THIS LOG CANNOT TELL what would be earned: no estimate can be believed.", end="\n\n")
    titles = {"log": "what was shown"} | {name: f"{by}, {name}" for name in made if name != "log"}
    rows = [[titles[name], each.brief] for name, each in made.items()]
    print(Table(["mean reward a round", "estimate (95 %)"], rows).text())
    for name, each in made.items():
        if each.reasons:
            print(textwrap.fill(f"{titles[name]}: {'; '.join(each.reasons)}.", WIDTH))
    if out is not None:
        content = {
            name: {key: value for key, value in asdict(each).items() if key != "parts"}
            for name, each in made.items()
        }
        out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
