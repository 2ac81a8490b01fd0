"""A ranker on the log of another catalog: what it knows of words moves, of items nothing."""

import polars as pl
import pytest
import torch

from lightrec.data.catalog import Catalog
from lightrec.data.domain import Domain
from lightrec.data.log import InteractionLog
from lightrec.data.prepare import prepare
from lightrec.encoders.base import Encoder, item_vectors
from lightrec.errors import RecipeError
from lightrec.ranking.continued import move
from lightrec.ranking.ranker import Ranker

TITLES = ("red tea", "old rope", "blue lamp", "sad song", "cup")
ORDER = torch.tensor([0, 4, 3, 5, 1, 2])
"""Which item of the first catalog each of the second has the title of."""


class Letters(Encoder):
    """Counts letters."""

    def __init__(self, first="a"):
        self.first = first

    size = 26

    def encode(self, values):
        codes = range(ord(self.first), ord(self.first) + self.size)
        return torch.tensor([[float(text.count(chr(code))) for code in codes] for text in values])


def store(folder, titles):
    # The ids are those of the other catalog, and mean other items.
    items = [f"{number}" for number in range(len(titles))]
    rows = [(u, i, n) for u in "ab" for n, i in enumerate(items)]
    log = InteractionLog(pl.DataFrame(rows, ["user", "item", "time"], orient="row"))
    catalog = Catalog(pl.DataFrame({"item": items, "title": titles}))
    return prepare(log, folder, catalog=catalog, domain=Domain(), k_core=0, seed=0)


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    titles = [TITLES[number - 1] for number in ORDER[1:].tolist()]
    return store(folder / "old", TITLES), store(folder / "new", titles)


def ranker(store, seed, **settings):
    torch.manual_seed(seed)
    made = Ranker(store.num_items, 26, size=8, **{"use_ids": False, **settings}).eval()
    made.items.set_vectors(item_vectors(Letters(), store.catalog))
    with torch.no_grad():
        made.bias[1:] = torch.randn(store.num_items)
    return made


def test_a_moved_ranker_scores_texts_as_the_other_one_does_whatever_their_numbers(stores):
    old, new = stores
    earlier, moved = ranker(old, 0), ranker(new, 1)
    bias = moved.bias.detach().clone()
    move(moved, earlier, new, old, Letters())
    assert torch.equal(moved.bias, bias)
    history = torch.tensor([[0, 1, 2], [3, 5, 4]])
    found = moved.scores(history) - moved.bias
    expected = (earlier.scores(ORDER[history]) - earlier.bias)[:, ORDER]
    torch.testing.assert_close(found[:, 1:], expected[:, 1:])


def test_items_own_vectors_start_anew(stores):
    old, new = stores
    earlier, moved = ranker(old, 0, use_ids=True), ranker(new, 1, use_ids=True)
    ids = moved.items.ids.detach().clone()
    torch.nn.init.normal_(earlier.items.project.weight)
    move(moved, earlier, new, old, Letters())
    assert torch.equal(moved.items.ids, ids)
    assert torch.equal(moved.items.project.weight, earlier.items.project.weight)


def test_words_move_by_name(stores):
    words = ["", "cup", "tea", "urn"], ["", "rope", "tea", "cup"]
    earlier, moved = (ranker(each, 0, use_text=False, reading=(1, 2, 4, 3)) for each in stores)
    torch.nn.init.normal_(earlier.items.words)
    urn = moved.items.words[3].clone()
    move(moved, earlier, *reversed(stores), None, words)
    assert torch.equal(moved.items.words[[1, 2]], earlier.items.words[[3, 2]])
    assert torch.equal(moved.items.words[3], urn)


@pytest.mark.parametrize(
    ("settings", "encoder", "sentence"),
    [
        ({"use_text": False, "use_ids": True}, Letters(), "reads no texts"),
        ({}, Letters("b"), "reads other vectors of texts"),
        ({}, None, "reads other vectors of texts"),
        (
            {"size": 16},
            Letters(),
            r"items.project.weight is \(8, 26\) here and \(16, 26\) there",
        ),
    ],
)
def test_a_ranker_that_cannot_be_moved_is_refused(stores, settings, encoder, sentence):
    old, new = stores
    size = settings.pop("size", 8)
    earlier = Ranker(old.num_items, 26, size=size, **{"use_ids": False, **settings})
    earlier.items.set_vectors(item_vectors(Letters(), old.catalog))
    with pytest.raises(RecipeError, match=sentence):
        move(ranker(new, 1), earlier, new, old, encoder)
