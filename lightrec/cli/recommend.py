"""`lightrec recommend`."""

import argparse
import os
import sys
from pathlib import Path

import polars as pl

from lightrec.data.spreadsheet import escaped
from lightrec.errors import RecipeError

EXAMPLES = """examples:
  lightrec recommend runs/video --user 42 -k 10
  lightrec recommend runs/video --history "Toy Story" "Fargo"
  lightrec recommend runs/video --user 42 --exclude "Star Wars" genres=Horror
  lightrec recommend runs/video --history "Fargo" --only genres=Comedy
  lightrec recommend runs/video --user 42 --new 2
  lightrec recommend runs/video --all --out recs.parquet
  lightrec recommend runs/video --all --before test --out recs.parquet

--exclude and --only take titles, item ids, or ATTRIBUTE=VALUE of the item table.
"""


def parser() -> argparse.ArgumentParser:
    """Give the command's parser."""
    parsing = argparse.ArgumentParser(
        prog="lightrec recommend",
        description="Recommend with a finished run what a person has not seen.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parsing.add_argument("run", type=Path, help="a run folder, such as runs/video")
    who = parsing.add_mutually_exclusive_group(required=True)
    who.add_argument("--user", help="a user id of the log")
    who.add_argument(
        "--history",
        nargs="*",
        metavar="TITLE",
        help="titles or item ids, oldest first; with none, popular and varied items",
    )
    who.add_argument("--all", action="store_true", help="everybody in the log; needs --out")
    parsing.add_argument("-k", type=int, default=10, help="how many items (default: 10)")
    parsing.add_argument(
        "--by",
        choices=["policy", "encoder"],
        help="what ranks: the policy (the long run) or the encoder (the next event); by default "
        "the one that the run's evaluation favours",
    )
    parsing.add_argument("--exclude", nargs="+", default=[], metavar="WHAT", help="never these")
    parsing.add_argument("--only", nargs="+", default=[], metavar="WHAT", help="nothing but these")
    parsing.add_argument(
        "--new", type=int, default=0, metavar="N", help="last places kept for items without events"
    )
    parsing.add_argument(
        "--explore",
        type=float,
        default=0.0,
        metavar="RATE",
        help="in place of --new: the probability of each place to be an item's without events",
    )
    parsing.add_argument("--seed", type=int, default=0, help="of --explore's draws (default: 0)")
    parsing.add_argument(
        "--before",
        choices=["test"],
        help="with --all: recommend from what came before each user's test events, so that "
        "`lightrec evaluate --predictions` can judge the file",
    )
    parsing.add_argument("--out", type=Path, help="a .parquet or .csv file")
    return parsing


def main(command: str, arguments: list[str]) -> int:
    """Print recommendations, or write everybody's."""
    chosen = parser().parse_args(arguments)
    if chosen.k < 1:
        raise RecipeError(f"-k must be at least 1, not {chosen.k}.")
    if chosen.all and chosen.out is None:
        raise RecipeError(
            "--all writes a file: name it with --out, for example --out recs.parquet."
        )
    if chosen.before and not chosen.all:
        raise RecipeError("--before goes with --all: it makes a file for everybody to be judged.")
    if chosen.out is not None and chosen.out.suffix not in (".parquet", ".csv"):
        raise RecipeError(f"--out must end in .parquet or .csv, not {chosen.out.name}.")

    from lightrec.recommend import Recommender

    recommender = Recommender(chosen.run, chosen.by)
    wishes = {
        "k": chosen.k,
        "exclude": chosen.exclude,
        "only": chosen.only,
        "new": chosen.new,
        "explore": chosen.explore,
        "seed": chosen.seed,
    }
    if chosen.all:
        from tqdm.auto import tqdm

        batches = list(
            tqdm(recommender.recommend_all(**wishes, before=chosen.before), unit="batch")
        )
        table = pl.concat(batches)
    else:
        table = recommender.recommend(chosen.user, history=chosen.history, **wishes)
    if chosen.by is None:
        by = {"encoder": "blend (--by encoder)"}.get(recommender.by, recommender.by)
        print(f"Ranked by the {by}. {recommender.reason}", file=sys.stderr)
    if chosen.out is None:
        print(render(table))
        return 0
    partial = chosen.out.with_suffix(f".partial{chosen.out.suffix}")
    if chosen.out.suffix == ".parquet":
        table.write_parquet(partial)
    else:
        escaped(table).write_csv(partial)
    os.replace(partial, chosen.out)
    print(f"{chosen.out}: {table.height} rows")
    return 0


def render(table: pl.DataFrame) -> str:
    """Set recommendations as a table that fits a terminal."""
    width = min(60, max([5, *(len(title) for title in table["title"])]))
    lines = [f"{'':>3}  {'title':<{width}}  {'score':>8}  id"]
    for rank, item, title, score in table.iter_rows():
        lines.append(f"{rank:>3}  {title[:width]:<{width}}  {score:>8.3f}  {item}")
    return "\n".join(lines)
