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
    study: bool = False,
    seed: int = 0,
    out: Path | None = None,
    **reading: Any,
) -> None:
    """Estimate what a run would earn, from a log of items that somebody else showed.

    examples:
      lightrec estimate runs/shop shown.csv
      lightrec estimate runs/shop shown.csv --by policy --interval student
      lightrec estimate runs/shop shown.csv --columns '{value: clicked, propensity: p}'
      lightrec estimate runs/shop shown.csv --study

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
    :param study: draw 200 logs from a world fitted to this one, and show how far each estimator is
        off the truth of that world.
    :param seed: of the bootstrap, of the folds of the reward model, and of the study.
    :param out: write all of it into this JSON file, too.
    """
    from lightrec.evaluation.base import Table
    from lightrec.report.summary import WIDTH
    from lightrec.run import Run
    from lightrec_ope.estimators.studies import believed, verdict
    from lightrec_ope.shown import errors, estimates, not_newer, studied

    tables = read_tables(log, **reading)
    opened = Run(run)
    made = estimates(opened, tables.log, by, interval, seed)
    whole = studied(opened, tables.log, by, interval, seed) if study else None
    made = believed(made, whole)
    if old := not_newer(opened, tables.log):
        print(
            f"NOT NEWER: {old:,} of {len(tables.log):,} rounds are not after the run's last event. "
            "It may have learned what they brought, which flatters it: take an earlier version of "
            "the run, or later rounds.",
            end="\n\n",
        )
    if said := verdict(made, whole):
        print(said, end="\n\n")
    titles = {"log": "what was shown"} | {name: f"{by}, {name}" for name in made if name != "log"}
    rows = [[titles[name], each.brief] for name, each in made.items()]
    print(Table(["mean reward a round", "estimate (95 %)"], rows).text())
    for name, each in made.items():
        if each.reasons:
            print(textwrap.fill(f"{titles[name]}: {'; '.join(each.reasons)}.", WIDTH))
    if whole is not None:
        print("", errors(whole), sep="\n")
        if whole.best is not None:
            print(f"On this log it finds: {made[whole.best]}.")
    if out is not None:
        content: dict[str, Any] = {
            name: {key: value for key, value in asdict(each).items() if key != "parts"}
            for name, each in made.items()
        }
        if whole is not None:
            content["study"] = asdict(whole) | {"best": whole.best}
        out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
