"""A file format."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from lightrec.api import DataError, InteractionLog, Reader


class HelloReader(Reader):
    """Lines of a user, an item and a day with semicolons between, in files that end in .hello."""

    name = "hello"

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether it is a file with the format's ending."""
        return path.is_file() and path.suffix == ".hello"

    def read_log(self, path: Path, columns: Mapping[str, str] | None = None) -> InteractionLog:
        """Read the log; its columns have no names, so ``columns`` must be empty."""
        if columns:
            raise DataError("A .hello file has columns of its own: leave out --columns.", path)
        names = ["user", "item", "time"]
        try:
            rows = pl.read_csv(
                path, separator=";", has_header=False, new_columns=names, infer_schema=False
            )
            return InteractionLog(rows.with_columns(pl.col("time").str.to_datetime("%Y-%m-%d")))
        except (OSError, pl.exceptions.PolarsError) as error:
            raise DataError(f"This is no .hello file: {error}.", path) from error

    @classmethod
    def sample(cls, folder: Path) -> Path:
        """Write three events, on which `lightrec plugins check` tries the reader."""
        file = folder / "log.hello"
        file.write_text("ann;tea;2024-01-01\nann;rope;2024-01-02\nbob;tea;2024-01-03\n")
        return file
