"""Day by day's logs: everything up to a day, each day's events, and the item table, as CSV."""

import os
import sys
from pathlib import Path

import polars as pl

DAYS = 30
SECOND, DAY = 1, 86_400


def movielens(folder: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Ratings and films; the files are RecBole's."""
    log = pl.read_csv(folder / "ml-100k" / "ml-100k.inter", separator="\t")
    log = log.select(
        user="user_id:token",
        item="item_id:token",
        rating="rating:float",
        time=pl.col("timestamp:float").cast(pl.Int64),
    )
    items = pl.read_csv(
        folder / "ml-100k" / "ml-100k.item", separator="\t", quote_char=None, infer_schema=False
    )
    names = {
        "item_id:token": "item",
        "movie_title:token_seq": "title",
        "release_year:token": "year",
        "class:token_seq": "genres",
    }
    return log, items.select(pl.col(old).alias(new) for old, new in names.items())


def retail(folder: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What customers bought, without what they returned, and what it is called."""
    lines = pl.read_parquet(folder / "online-retail" / "online_retail.parquet")
    lines = lines.filter(pl.col("Quantity") > 0, pl.col("CustomerID").is_not_null())
    time = pl.col("InvoiceDate").str.to_datetime("%m/%d/%y %H:%M").dt.epoch("s")
    log = lines.select(user="CustomerID", item="StockCode", time=time)
    named = lines.filter(pl.col("Description").is_not_null())
    items = named.group_by("StockCode", maintain_order=True).agg(pl.col("Description").last())
    return log, items.select(item="StockCode", title="Description")


SETS = {"ml-100k": movielens, "online-retail": retail}


def days(log: pl.DataFrame) -> list[int]:
    """Give the last days with events, as days since 1970; the last one is only judged on."""
    return (log["time"] // DAY).unique().sort().to_list()[-DAYS - 1 :]


def write(name: str, data: Path, out: Path) -> int:
    """Write ``base.csv``, ``items.csv``, and for every day ``day-K.csv`` and ``upto-K.csv``.

    :returns: the number of days K = 1, 2, … on which something is appended; of the day after the
        last of them there is ``day-K.csv`` alone.
    """
    log, items = SETS[name](data)
    log = log.sort("time", maintain_order=True)
    chosen, of_day = days(log), log["time"] // DAY
    out.mkdir(parents=True, exist_ok=True)
    items.write_csv(out / "items.csv")
    log.filter(of_day < chosen[0]).write_csv(out / "base.csv")
    for number, day in enumerate(chosen, start=1):
        log.filter(of_day == day).write_csv(out / f"day-{number}.csv")
        if number < len(chosen):
            log.filter(of_day <= day).write_csv(out / f"upto-{number}.csv")
    return len(chosen) - 1


if __name__ == "__main__":
    where = Path(os.environ["LIGHTREC_TEST_DATA"])
    print(write(sys.argv[1], where, Path(sys.argv[2])))
