"""`lightrec data`."""

import argparse
import json
import shutil
from dataclasses import asdict
from pathlib import Path

import yaml

from lightrec import plugins
from lightrec.errors import DataError, RecipeError

CHECK = """examples:
  lightrec data check my.csv
  lightrec data check my.csv --items my_items.csv --users my_users.csv
  lightrec data check my.csv --columns '{user: customer, item: sku, time: bought_at}'
  lightrec data check ml-100k --reader MovieLensReader --domain video --json

Exit status: 0 where a run can use the files, 2 where it cannot.
"""
CONVERT = """examples:
  lightrec data convert my.csv my_log
  lightrec data convert my.csv my_log --items my_items.csv --columns '{user: customer, item: sku}'

The folder appears whole or not at all; `lightrec run generic --log my_log` reads it.
"""
FETCH = """examples:
  lightrec data fetch movielens-100k
  lightrec data fetch movielens-100k --to samples
"""


def fetch(chosen: argparse.Namespace) -> int:
    """Fetch a domain's sample into the cache, and copy it where the user wants it."""
    domains = [part.load() for part in plugins.installed().parts["domains"].values()]
    samples = {d.sample_name: d for d in domains if d.sample_name}
    if chosen.name not in samples:
        known = ", ".join(samples) or "none; install a plugin such as lightrec-video"
        raise RecipeError(f"There is no sample {chosen.name!r}. Known are: {known}.")
    folder = samples[chosen.name]().sample()
    if chosen.to is not None:
        try:
            shutil.copytree(folder, chosen.to, dirs_exist_ok=True)
        except OSError as error:
            raise DataError(f"The sample cannot be copied there ({error}).", chosen.to) from None
    print(chosen.to or folder)
    return 0


def convert(chosen: argparse.Namespace) -> int:
    """Read a log with the reader that recognises it and write canonical Parquet."""
    from lightrec.data.readers.canonical import check_folder, write_folder
    from lightrec.data.readers.find import read_tables

    columns = parse_columns(chosen.columns)
    check_folder(chosen.to)
    tables = read_tables(
        chosen.log,
        chosen.items,
        chosen.users,
        columns=columns,
        reader=chosen.reader,
        times=chosen.times,
    )
    write_folder(tables, chosen.to)
    print(f"{chosen.to}: {len(tables.log):,} events")
    return 0


def check(chosen: argparse.Namespace) -> int:
    """Say what a run would find in the files: what is wrong, or what is there."""
    from lightrec.data.findings import look_at
    from lightrec.data.readers.find import read_tables

    columns = parse_columns(chosen.columns)
    domain = plugins.installed().get("domains", chosen.domain).load()()
    try:
        tables = read_tables(
            chosen.log,
            chosen.items,
            chosen.users,
            columns=columns,
            reader=chosen.reader,
            times=chosen.times,
        )
    except DataError as error:
        if not chosen.json:
            raise
        shown = error.problems[: error.SHOWN]
        more = len(error.problems) - len(shown) + error.more
        print(json.dumps({"problems": shown, "more": more}, indent=2))
        return 2
    findings = look_at(tables, domain)
    if chosen.json:
        print(json.dumps({"problems": [], "more": 0, **asdict(findings)}, indent=2))
    else:
        from lightrec.cli.findings import render

        print(render(chosen.log, findings), end="")
    return 0


def parse_columns(text: str) -> dict[str, str]:
    """Read ``{user: customer, item: sku}``.

    :raises RecipeError: where it is no such mapping.
    """
    try:
        columns = yaml.safe_load(text)
    except yaml.YAMLError:
        columns = None
    if not isinstance(columns, dict):
        raise RecipeError(
            f"--columns must be a mapping such as '{{user: customer, item: sku}}', not {text!r}."
        )
    return {str(column): str(name) for column, name in columns.items()}


def _add_inputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--items", type=Path, metavar="FILE", help="the item table")
    parser.add_argument("--users", type=Path, metavar="FILE", help="the user table")
    parser.add_argument("--columns", default="{}", help="{user: ..., item: ..., time: ...}")
    parser.add_argument(
        "--times",
        default="auto",
        choices=["auto", "seconds", "milliseconds", "iso"],
        help="how times are written (default: auto)",
    )
    parser.add_argument("--reader", metavar="NAME", help="default: the one that recognises it")


def parser() -> argparse.ArgumentParser:
    """Give the parser of `lightrec data`."""
    parsing = argparse.ArgumentParser(
        prog="lightrec data",
        description="Check your data, convert it to canonical Parquet, fetch sample data.",
        epilog="examples:\n  lightrec data check my.csv --items my_items.csv\n"
        "  lightrec data convert my.csv my_log\n"
        "  lightrec data fetch movielens-100k\n\n"
        "`lightrec data ACTION --help` tells more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parsing.add_subparsers(dest="action", required=True, metavar="ACTION")

    def add(name: str, text: str, epilog: str) -> argparse.ArgumentParser:
        return actions.add_parser(
            name,
            help=text,
            description=f"{text[0].upper()}{text[1:]}.",
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    checking = add("check", "say what a run would find in your files", CHECK)
    checking.add_argument("log", type=Path, help="the log: a file or a folder")
    _add_inputs(checking)
    checking.add_argument("--domain", default="generic", help="default: generic")
    checking.add_argument("--json", action="store_true", help="for programs to read")
    checking.set_defaults(act=check)
    converting = add("convert", "write a log as canonical Parquet", CONVERT)
    converting.add_argument("log", type=Path, help="the log: a file or a folder")
    converting.add_argument("to", type=Path, help="the folder to write")
    _add_inputs(converting)
    converting.set_defaults(act=convert)
    fetching = add("fetch", "fetch a domain's sample", FETCH)
    fetching.add_argument("name", help="such as movielens-100k")
    fetching.add_argument("--to", type=Path, help="also copy it into this folder")
    fetching.set_defaults(act=fetch)
    return parsing


def main(command: str, arguments: list[str]) -> int:
    """Fetch a sample, check a log or convert it."""
    chosen = parser().parse_args(arguments)
    status: int = chosen.act(chosen)
    return status
