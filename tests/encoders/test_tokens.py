import polars as pl
import pytest
import torch

from lightrec.encoders.text import TextEncoder
from lightrec.encoders.words import WordEncoder, tokens_of
from lightrec.errors import RecipeError
from lightrec.testing.tiny import tiny_text_model

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


def test_a_model_gives_its_own_pieces_and_their_vectors(tmp_path, monkeypatch):
    encoder = TextEncoder(str(tiny_text_model(tmp_path)), device="cpu")
    found = tokens_of(CATALOG, ["title"], 3, encoder)
    vectors = encoder.load_weights().get_input_embeddings().weight
    numbers = encoder._tokenizer(["Red tea, red!"], add_special_tokens=False)["input_ids"][0][:3]
    torch.testing.assert_close(found.start[found.table[1, 0].long()], vectors[numbers].detach())
    assert not found.start[0].any()
    assert found.shape == (1, 3, len(found.names), vectors.shape[1])
    assert found.names == sorted(set(found.names))


def test_columns_that_are_not_there():
    with pytest.raises(RecipeError, match=r"`reads` names plot, year among .* item, title, genres"):
        tokens_of(CATALOG, ["plot", "title", "year"], 2, None)
