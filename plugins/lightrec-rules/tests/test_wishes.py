"""Reading requests in words, and what they count."""

import json
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch
from lightrec_rules.learning import write_wishes
from lightrec_rules.wishes import ALONE, FILE, HISTORY, Wishes

from lightrec.encoders.base import Encoder
from lightrec.encoders.words import WordEncoder
from lightrec.errors import RecipeError, RunError

MEANINGS = {"red": (1.0, 0.0), "scarlet": (0.9, 0.1), "lamp": (0.0, 1.0), "of": (0.01, 0.01)}
STORE = SimpleNamespace(
    catalog=pl.DataFrame(
        {
            "item": ["a", "b", "c"],
            "title": ["Red lamp", "Blue lamp", None],
            "text": ["a lamp", "", "Tea"],
            "kinds": [["light"], ["light"], None],
            "price": ["1 cent", "2 cents", ""],
        }
    ),
    item_kinds={"kinds": "list", "price": "words"},
    num_items=3,
)
ITEMS = SimpleNamespace(
    uses_text=True,
    vectors=torch.tensor([[0.0, 0.0], [1.0, 1.0], [-1.0, 0.5], [0.0, -1.5]]),
)
SETTINGS = {"share": 0.6, "focus": 2.0, "sharpness": 1.5}
SETTINGS |= {HISTORY: [0.9, 0.5], ALONE: [1.1, 0.4]}


class Meanings(Encoder):
    """Texts by the sum of what their words mean."""

    size = 2

    def encode(self, values):
        words = [[MEANINGS.get(word, (-1.0, 0.3)) for word in value.split()] for value in values]
        return torch.tensor([np.sum([(0.0, 1e-3), *each], axis=0) for each in words]).float()


def unit(vector):
    return np.asarray(vector) / np.linalg.norm(vector)


def test_a_wish_is_read_by_words_and_by_vectors():
    wishes = Wishes(STORE, ITEMS, Meanings(), SETTINGS)
    scores, weight = wishes.scores("scarlet lamp", HISTORY)
    # The items' mean is 0, so that nothing has to be centred.
    items = np.stack([unit(vector) for vector in ITEMS.vectors[1:].numpy()])
    spread = np.sqrt(np.square(items.T @ items / 3).sum())
    items = np.concatenate([np.zeros((1, 2)), items]) / spread
    whole = unit((0.9, 1.101))
    moved = np.array([1 - unit((0.0, 1.001)) @ whole, 1 - unit((0.9, 0.101)) @ whole])
    total = np.zeros(4)
    # 8 words in all items: a has four (red, lamp, a, light), two items have a lamp.
    lifts = np.array([[0, 0, 0, 0], [0, 8 / (4 * 2), 8 / (3 * 2), 0]])
    for salience, vector, lift in zip(
        moved / moved.max(), ((0.9, 0.101), (0.0, 1.001)), lifts, strict=True
    ):
        near = np.exp(2 * items @ unit(vector))
        total += salience * np.log(0.6 * lift + 0.4 * near / near.mean())
    meant = np.exp(1.5 * items @ whole)
    expected = 0.5 * np.log(np.exp(total) / 2 + meant / meant.mean() / 2)
    np.testing.assert_allclose(scores.numpy(), expected, atol=1e-5)
    assert weight == pytest.approx(0.9)
    assert scores.argmax() == 1


def test_grammar_and_words_that_no_item_has(capsys):
    wishes = Wishes(STORE, ITEMS, Meanings(), SETTINGS)
    with_grammar, one = wishes.read(["lamp of", "lamp"])
    assert with_grammar.salience.tolist() == pytest.approx([1.0, 0.0], abs=1e-3)
    assert one.salience.tolist() == [1.0]
    wishes.scores("red sofa", ALONE)
    assert capsys.readouterr().err == "No item has the word 'sofa': its vector alone reads it.\n"
    plain = Wishes(STORE, ITEMS, None, SETTINGS)
    scores, _ = plain.scores("LIGHT sofa", HISTORY)
    assert scores[1:].argsort(descending=True).tolist() == [1, 0, 2], "b has fewer words than a"
    assert capsys.readouterr().err == "No item has the word 'sofa': nothing reads it.\n"
    with pytest.raises(RecipeError, match="No item knows any of the words of the request 'sofa"):
        plain.scores("sofa cent", HISTORY)
    with pytest.raises(RecipeError, match="the request '!'"):
        wishes.scores("!", HISTORY)


@pytest.mark.parametrize(
    ("wish", "same", "sentence"),
    [
        ("lamps for the blue", "lamp blue", "'lamps' is taken as lamp."),
        ("Lights of a reds", "light red", "'lights' is taken as light. 'reds' is taken as red."),
        ("something with tea", "tea", "No item has the word 'something': nothing reads it."),
    ],
)
def test_grammar_does_not_count_and_other_endings_do(capsys, wish, same, sentence):
    plain = Wishes(STORE, ITEMS, None, SETTINGS)
    expected = plain.scores(same, ALONE)[0].argsort(stable=True)
    assert capsys.readouterr().err == ""
    assert plain.scores(wish, ALONE)[0].argsort(stable=True).equal(expected)
    assert " ".join(capsys.readouterr().err.splitlines()) == sentence
    assert plain.answering(wish).equal(plain.answering(same))


def test_items_that_answer_a_wish_have_a_word_of_it():
    plain = Wishes(STORE, ITEMS, None, SETTINGS)
    assert plain.answering("blue teas").tolist() == [False, False, True, True]
    assert Wishes(STORE, ITEMS, Meanings(), SETTINGS).answering("blue teas") is None
    with pytest.raises(RecipeError, match="No item knows any of the words of the request 'for a'"):
        plain.scores("for a", ALONE)


def test_an_update_keeps_what_was_learned(tmp_path):
    with pytest.raises(RunError, match="has learned nothing of requests"):
        Wishes.load(tmp_path, STORE, ITEMS)
    (tmp_path / FILE).write_text(json.dumps(SETTINGS | {"encoder": None}))
    (tmp_path / "next").mkdir()
    data = SimpleNamespace(text_encoder=WordEncoder(2))
    write_wishes(tmp_path / "next", data, earlier=tmp_path)
    again = Wishes.load(tmp_path / "next", STORE, ITEMS)
    assert again.settings == SETTINGS
    assert again.encoder.size == 2
    (tmp_path / FILE).write_text(json.dumps({"share": 0.5, "focus": 1.0, "encoder": None}))
    with pytest.raises(RunError, match="says nothing of sharpness: an earlier release"):
        Wishes.load(tmp_path, STORE, ITEMS)
