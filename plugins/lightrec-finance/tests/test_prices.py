"""Tables of daily prices: read, joined, cut off at a day, and refused where they are broken."""

import numpy as np
import pytest
from lightrec_finance.prices import Prices

from lightrec.errors import DataError


def write(folder, name, text):
    path = folder / name
    path.write_text(text)
    return path


def test_tables_are_joined_by_day_and_the_first_counts(tmp_path):
    one = write(tmp_path, "one.csv", "Date,A,B\n2024-01-02,1,5\n2024-01-04,,6\n")
    two = write(tmp_path, "two.csv", "date,B,C\n2024-01-03,9,2\n2024-01-04,9,3\n")
    found = Prices.read([one, two])
    assert found.names == ("A", "B", "C")
    assert list(found.days.astype(str)) == ["2024-01-02", "2024-01-03", "2024-01-04"]
    nan = np.nan
    assert np.array_equal(found.values, [[1, 5, nan], [nan, nan, 2], [nan, 6, 3]], equal_nan=True)
    assert np.array_equal(found.filled, [[1, 5, nan], [1, 5, 2], [1, 6, 3]], equal_nan=True)
    assert found.until(np.datetime64("2024-01-03")).values.shape == (2, 3)


def test_what_is_broken_is_named(tmp_path):
    broken = "Date,A\n2024-01-02,1\n2024-01-02,0\n3 May,free\n"
    with pytest.raises(DataError) as raised:
        Prices.read([write(tmp_path, "broken.csv", broken), write(tmp_path, "none.csv", "Date\n")])
    assert [problem.partition("broken.csv: ")[2] for problem in raised.value.problems[:2]] == [
        "Lines 2, 3 and 4, column 'Date': for example, '2024-01-02' is not a date such as "
        "2024-01-31, or comes twice.",
        "Lines 3 and 4, column 'A': for example, '0' is not a price above 0, or an empty field.",
    ]
    assert "a column of dates and one of prices" in raised.value.problems[2]
    with pytest.raises(DataError, match="does not exist"):
        Prices.read([tmp_path / "absent.csv"])


def test_the_panel(lightrec_data):
    folder = lightrec_data / "finance-panel"
    found = Prices.read([folder / "sp500_dataset.csv", folder / "stock_prices.csv"])
    assert found.values.shape == (8796, 29)
    day = np.searchsorted(found.days, np.datetime64("2022-12-28"))
    assert found.values[day, found.names.index("XOM")] == 106.627
    assert np.isnan(found.values[0, found.names.index("META")])
