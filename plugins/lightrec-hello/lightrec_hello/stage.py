"""A stage of a run."""

import polars as pl

from lightrec.api import Run, Stage


def tally(stage: Stage, seed: int = 0) -> None:
    """Write how many training events each item has, as ``tally.csv``."""
    stage.prepare_work()
    data = Run(stage.run).data
    events = pl.Series("events", data.popularity()[1:].tolist())
    with stage.output(seed) as folder:
        data.catalog.select("item").with_columns(events).write_csv(folder / "tally.csv")
