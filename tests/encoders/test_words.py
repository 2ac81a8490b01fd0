"""Words of texts in any language, their weights, and the numbers by which items' words are read."""

import polars as pl
import pytest
import torch

from lightrec.encoders.text import TextEncoder
from lightrec.encoders.words import WordEncoder, tokens_of, words_of


def test_words_of_scripts_with_and_without_blanks():
    assert words_of("Der Mord (3. Aufl.)") == ["der", "mord", "3", "aufl"]
    assert words_of("USB保温杯 水") == ["usb", "保", "温", "杯", "保温", "温杯", "水"]


def test_texts_are_as_alike_as_their_words():
    texts = [
        "Kochbuch für Anfänger",
        "Das große Kochbuch",
        "Mord im Pfarrhaus",
        "便携保温杯",
        "不锈钢保温杯",
        "",
    ]
    vectors = WordEncoder().encode(texts)
    assert vectors.shape == (6, 512)
    assert torch.allclose(vectors.norm(dim=1), torch.tensor([1.0] * 5 + [0.0]))
    near = vectors @ vectors.T
    assert near[0, 1] > 0.3
    assert near[3, 4] > 0.3
    assert near[0, 2:].abs().max() < 0.2
    # A compound is known by its pieces, though no word is the same.
    compound = WordEncoder().encode(["Gartenbuch", "Buchgarten", "Fahrrad"])
    assert compound[0] @ compound[1] > 0.2 > (compound[0] @ compound[2]).abs()
    assert torch.equal(WordEncoder(size=8).encode(texts[:1]), WordEncoder(size=8).encode(texts)[:1])


CATALOG = pl.DataFrame(
    {
        "item": ["a", "b", "c"],
        "title": ["Red tea, red!", "a lamp", None],
        "genres": [["tea", "red"], None, ["lamp"]],
    }
)


@pytest.mark.parametrize("encoder", [None, WordEncoder()])
def test_words_that_items_share_are_numbered_by_column(encoder):
    found = tokens_of(CATALOG, ["title", "genres"], 2, encoder)
    # "red" and "tea" are one item's, whatever the number of times and columns.
    assert found.names == ["", "lamp"]
    assert found.table.tolist() == [[[0], [0]], [[0], [0]], [[1], [0]], [[0], [1]]]
    assert found.start is None
    assert found.shape == (2, 1, 2, 64)


def test_a_model_gives_its_own_pieces_and_their_vectors(folders):
    encoder = TextEncoder(str(folders[1]), device="cpu")
    found = tokens_of(CATALOG, ["title"], 3, encoder)
    vectors = encoder.load_weights().get_input_embeddings().weight
    numbers = encoder.tokenizer(["Red tea, red!"], add_special_tokens=False)["input_ids"][0][:3]
    torch.testing.assert_close(found.start[found.table[1, 0].long()], vectors[numbers].detach())
    assert not found.start[0].any()
    assert found.shape == (1, 3, len(found.names), vectors.shape[1])
    assert found.names == sorted(set(found.names))
