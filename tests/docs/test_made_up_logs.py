"""The German library and the Chinese market: what their files hold."""

import polars as pl
import pytest

from docs.tutorials import library, market
from lightrec.data.languages import languages_of


def test_the_library(tmp_path):
    library.write(tmp_path)
    texts = [(tmp_path / f"{name}.csv").read_text("cp1252") for name in ("Ausleihen", "Bestand")]
    loans, books = (pl.read_csv(t.encode(), separator=";", decimal_comma=True) for t in texts)
    assert loans.height == 150 * 16
    assert books.columns == ["Signatur", "Titel", "Sachgebiet", "Jahr", "Preis"]
    assert books["Preis"].dtype == pl.Float64
    assert languages_of(books["Titel"]) == {"de": 1.0}
    when = loans["Ausgeliehen"].str.to_datetime("%d.%m.%Y %H:%M")
    assert when.is_sorted()
    new = books.filter(pl.col("Jahr") == 2024)["Signatur"]
    assert len(new) == 48
    assert not loans["Signatur"].is_in(new.implode()).any()
    # Half of all loans are followed by the next volume of the same series.
    volume = pl.col("Signatur").str.slice(3).cast(pl.Int64)
    series = pl.col("Signatur").str.head(2)
    by_reader = loans.sort("Leser", maintain_order=True).with_columns(
        follows=((series.shift(-1) == series) & (volume.shift(-1) == volume + 1)).over("Leser")
    )
    assert by_reader["follows"].mean() == pytest.approx(0.5, abs=0.05)
    again = loans.height - loans.select("Leser", "Signatur").n_unique()
    assert again / loans.height == pytest.approx(0.25, abs=0.05)


def test_the_market(tmp_path):
    market.write(tmp_path)
    texts = [(tmp_path / f"{name}.csv").read_text("gb18030") for name in ("日志", "商品")]
    events, goods = (pl.read_csv(text.encode()) for text in texts)
    assert goods.height == 128
    assert goods["名称"].n_unique() == 128
    assert languages_of(goods["名称"]) == {"zh": 1.0}
    kinds = dict(events["行为"].value_counts().iter_rows())
    assert kinds == {"浏览": 3_600, "加购": 1_200, "购买": 1_200}
    # A person buys of at most two styles, and of two kinds of goods.
    bought = events.filter(pl.col("行为") == "购买").join(goods, left_on="商品", right_on="编号")
    styles = bought.group_by("用户").agg(
        pl.col("名称").str.head(2).n_unique(), pl.col("类别").n_unique()
    )
    assert styles["名称"].max() == 2
    assert styles["类别"].max() == 2
