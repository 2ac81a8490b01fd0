"""What lightrec needs to know about a field of use."""

import polars as pl

from lightrec.api import Domain


class HelloDomain(Domain):
    """Things with a title and a kind, each seen once."""

    name = "hello"
    repeats = False

    def text(self, items: pl.DataFrame) -> pl.Series:
        """Put items into words: what is known of them, in small letters."""
        return super().text(items).str.to_lowercase()
