"""Words of texts in any language, and how alike texts are by them."""

import torch

from lightrec.encoders.words import WordEncoder, words_of


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
