"""`lightrec data`."""

import argparse
import shutil
from pathlib import Path

import yaml

from lightrec import plugins
from lightrec.errors import RecipeError


def fetch(name: str, to: Path | None) -> None:
    """Fetch a domain's sample into the cache, and copy it where the user wants it."""
    domains = [part.load() for part in plugins.installed().parts["domains"].values()]
    samples = {d.sample_name: d for d in domains if d.sample_name}
    if name not in samples:
        known = ", ".join(samples) or "none; install a plugin such as lightrec-video"
        raise RecipeError(f"There is no sample {name!r}. Known are: {known}.")
    folder = samples[name]().sample()
    if to is not None:
        shutil.copytree(folder, to, dirs_exist_ok=True)
    print(to or folder)


def convert(chosen: argparse.Namespace) -> None:
    """Read a log with the reader that recognises it and write canonical Parquet."""
    from lightrec.pipeline.data import read_tables

    columns = yaml.safe_load(chosen.columns)
    tables = read_tables(chosen.log, chosen.items, chosen.users, columns=columns)
    chosen.to.mkdir(parents=True, exist_ok=True)
    tables.log.write_parquet(chosen.to / "log.parquet")
    if tables.catalog is not None:
        tables.catalog.write_parquet(chosen.to / "catalog.parquet")
    if tables.users is not None:
        tables.users.write_parquet(chosen.to / "users.parquet")
    print(f"{chosen.to}: {tables.log.events.height} events")


def main(command: str, arguments: list[str]) -> int:
    """Fetch a sample or convert a log."""
    parser = argparse.ArgumentParser(
        prog="lightrec data",
        description="Fetch sample data; convert a log to lightrec's canonical Parquet.",
        epilog="examples:\n  lightrec data fetch movielens-100k\n"
        "  lightrec data convert my.csv my_log --items my_items.csv "
        "--columns '{user: customer, item: sku}'",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True)
    fetching = actions.add_parser("fetch", help="fetch a domain's sample")
    fetching.add_argument("name", help="such as movielens-100k")
    fetching.add_argument("--to", type=Path, help="also copy it into this folder")
    converting = actions.add_parser("convert", help="write canonical Parquet")
    converting.add_argument("log", type=Path)
    converting.add_argument("to", type=Path, help="the folder to write")
    converting.add_argument("--items", type=Path)
    converting.add_argument("--users", type=Path)
    converting.add_argument("--columns", default="{}", help="{user: ..., item: ..., time: ...}")
    chosen = parser.parse_args(arguments)
    if chosen.action == "fetch":
        fetch(chosen.name, chosen.to)
    else:
        convert(chosen)
    return 0
