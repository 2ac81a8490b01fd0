import numpy as np
import polars
import pytest
from lightrec_testing.tiny import tiny_text_model

from lightrec.data.catalog import Catalog
from tests.encoders.topics import STEPS, TEXTS, USERS, patched
from tests.users.stores import prepared


@pytest.fixture(scope="package")
def folders(tmp_path_factory):
    """A prepared log in which people keep to one topic, and a text model of random weights."""
    folder, generator = tmp_path_factory.mktemp("topics"), np.random.default_rng(0)
    rows = [
        (f"u{user}", f"i{4 * item + user % 4}")
        for user in range(USERS)
        for item in generator.permutation(len(TEXTS) // 4)[:STEPS]
    ]
    # The last two items have the text of the first two, and one item has none.
    items = polars.DataFrame(
        {"item": [f"i{n}" for n in range(len(TEXTS))], "text": [*TEXTS[:-3], *TEXTS[:2], None]}
    )
    log = polars.DataFrame(rows, ["user", "item"], orient="row")
    titles = polars.lit(None, polars.String)
    prepared(log, folder / "data", catalog=Catalog(items.with_columns(title=titles)))
    (folder / "model").mkdir()
    return folder / "data", tiny_text_model(folder / "model")


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Tunings on a small log, with a cache of their own."""
    patched(monkeypatch, tmp_path)
