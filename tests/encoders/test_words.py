import numpy as np
import pytest
import torch

from lightrec.encoders.words import WordEncoder, spans_of, words_of
from lightrec.ranking.item_models.text_map import word_weights


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


def test_chinese_titles_share_words_in_the_map_of_texts():
    texts = ["便携保温杯", "智能保温杯", "大保温杯", "红楼梦", "保温杯"]
    near = word_weights(texts, np.arange(1, 5))
    near = (near @ near.T).toarray()
    assert near[1, [1, 2, 3, 5]] == pytest.approx(1)  # all that counts is the word that they share
    assert not near[4].any()


def test_a_word_of_all_texts_weighs_nothing():
    assert not word_weights(["Tee rot", "Tee grün", "Tee"], np.arange(1, 4)).toarray().any()


def test_spans_join_what_a_hyphen_or_an_apostrophe_joins():
    text = "The Devil's Advocate (1997), Sci-Fi – 東京"
    assert [text[slice(*span)] for span in spans_of(text)] == [
        *("The", "Devil's", "Advocate", "1997", "Sci-Fi", "東", "京"),
    ]
