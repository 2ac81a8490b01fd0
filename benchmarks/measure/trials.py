"""Which headline of a test is clicked more: a ridge over states of one layer, and of four."""

import polars as pl
from lightrec_news.trials import LAYERS, TrialData, ridge

from benchmarks.measure import Cell
from lightrec.encoders.text import TextEncoder

WEEKS = 201325, 201402
"""First and last week in which headlines were not drawn at random."""
COLUMNS = {"trial": "clickability_test_id", "text": "headline"}
COLUMNS |= {"shown": "impressions", "clicked": "clicks"}


def measure(cell: Cell) -> dict[str, float]:
    """Shares of the clear pairs of test trials that are ordered as by clicks."""
    table = pl.read_parquet(cell["trials"]).filter(~pl.col("test_week").is_between(*WEEKS))
    table.select(*COLUMNS.values()).write_parquet(path := cell.out / "trials.parquet")
    found = {}
    for name, encoder in {"last": TextEncoder(), "upper": TextEncoder(layers=LAYERS)}.items():
        data = TrialData(str(path), encoder, **COLUMNS, seed=cell.seed)
        test, head = data.parts["test"], ridge(data.vectors, data.parts["train"])
        right = test.agreement((data.vectors @ head)[test.texts])
        found[name] = float(right.mean())
    return found
