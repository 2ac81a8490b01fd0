"""`lightrec data`: check a log, convert it."""

from collections.abc import Sequence
from dataclasses import asdict
from json import dumps
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from lightrec import plugins
from lightrec.cli.command import with_options_of
from lightrec.data.files import without_password
from lightrec.data.readers.base import find_reader, read_tables
from lightrec.errors import DataError

if TYPE_CHECKING:
    from lightrec.data.findings import LogSummary


@with_options_of(read_tables)
def check(
    log: Path,
    *,
    domain: str | None = None,
    goal: Sequence[str] = (),
    repeats: bool = False,
    leave_out_bots: bool = False,
    json: bool = False,
    **reading: Any,
) -> int:
    """Say what a run would find in your files: what is wrong, or what is there.

    examples:
      lightrec data check my.csv
      lightrec data check my.csv --items my_items.csv --users my_users.csv
      lightrec data check my.csv --columns '{user: customer, item: sku, time: bought_at}'
      lightrec data check shop.csv --goal purchase
      lightrec data check ml-100k --reader WatchingSets --domain video --json

    Exit status: 0 where a run can use the files, 2 where it cannot.

    :param domain: whose rules the log is held to (default: the domain of the package whose reader
        recognises the log, or else generic).
    :param goal: as in `lightrec run`: what is not of the goal may come again (default: the goal
        that the domain's recipes state).
    :param repeats: as in `lightrec run`: items may come again.
    :param leave_out_bots: as in `lightrec run`: the events of users who are programs are left out.
    :param json: for programs to read.
    """
    from lightrec.data.findings import look_at
    from lightrec.data.languages import wording
    from lightrec.encoders.hub import advice
    from lightrec.stages.run import BEGINNING, NEXT, find_recipes

    given = None if domain is None else plugins.installed().get("domains", domain)
    try:
        part = given or domain_of_reader(log, reading.get("reader"))
        tables = read_tables(log, **reading)
    except DataError as error:
        if not json:
            raise
        shown = error.problems[: error.SHOWN]
        more = len(error.problems) - len(shown) + error.more
        print(dumps({"problems": shown, "more": more}, indent=2))
        return 2
    recipes = find_recipes(part.name)[1]
    recipe = recipes.recipes[BEGINNING]
    least, stated = recipe.get("k_core") or 0, recipe.get("goal") or ()
    kinds = [word for word in goal or stated if word != NEXT]
    findings = look_at(tables, part.load()(), least, kinds, repeats, leave_out_bots)
    texts = [] if tables.catalog is None else wording(tables.catalog.rows).to_list()
    sentence = advice(findings.languages, texts, recipes.values.get("text_encoder"))
    if json:
        whole = {"problems": [], "more": 0, "domain": part.name, **asdict(findings)}
        print(dumps(whole | {"advice": sentence}, indent=2))
    else:
        by_reader = given is None and part.name != "generic"
        note = ", the domain of its reader's package; --domain names another" if by_reader else ""
        print(render(log, findings, f"{part.name}{note}"), end="")
        if sentence:
            print("", *wrap(sentence, 88, break_on_hyphens=False), sep="\n")
    return 0


def domain_of_reader(log: Path, reader: str | None) -> plugins.Part:
    """The domain of the package whose reader recognises a log; generic where it has not just one.

    :param reader: the reader's name, if somebody named it.
    :raises DataError: as :func:`~lightrec.data.readers.base.find_reader` does.
    """
    parts, kind = plugins.installed().parts, type(find_reader(log, reader))
    path = f"{kind.__module__}:{kind.__qualname__}"
    packages = {part.distribution for part in parts["readers"].values() if part.path == path}
    domains = [part for part in parts["domains"].values() if part.distribution in packages]
    return domains[0] if len(domains) == 1 else parts["domains"]["generic"]


@with_options_of(read_tables)
def convert(log: Path, to: Path, **reading: Any) -> None:
    """Write a log as canonical Parquet, with the reader that recognises it.

    examples:
      lightrec data convert my.csv my_log
      lightrec data convert my.csv my_log --items my_items.csv --columns '{user: who, item: sku}'

    The folder appears whole or not at all; `lightrec run generic --log my_log` reads it.

    :param to: the folder to write.
    """
    from lightrec.data.readers.canonical import check_folder, write_folder

    check_folder(to)
    tables = read_tables(log, **reading)
    write_folder(tables, to)
    print(f"{to}: {len(tables.log):,} events")


def render(path: Path, findings: "LogSummary", domain: str) -> str:
    """Set findings as a short table.

    :param domain: whose rules the log was held to, in words.
    """
    from lightrec.data.findings import LEFT_OUT, TOLERATED, WIDTH, in_words, recognised

    lines = [f"{without_password(str(path))} can be used.", "", f"{'domain':<{WIDTH}}{domain}"]
    lines += recognised(findings)
    for title, kinds in (("left out:", LEFT_OUT), ("kept, but:", TOLERATED)):
        if sentences := in_words(findings.counts, kinds, findings.left_out):
            lines += ["", title, *(f"{n:>{WIDTH - 2},}  {words}" for n, words in sentences)]
    if used := findings.used:
        lines += [
            "",
            f"A run uses {used['events']:,} events of {used['users']:,} users and "
            f"{used['items']:,} items, unless the run's --data.k_core says otherwise.",
        ]
    if findings.order:
        lines += ["", findings.order]
    return "\n".join(lines) + "\n"
