"""Randomised trials of texts: the split, and the score that is fitted to what was clicked."""

import math

import numpy as np
import polars as pl
import pytest
import torch
from lightrec_news.trials import TrialData, Trials, ridge

from lightrec.encoders.words import WordEncoder
from lightrec.errors import DataError, RecipeError

WORDS = ("red", "lamp", "tea", "rope", "song", "of", "and", "a")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Trials in which tea is clicked and rope is not."""
    generator, rows = np.random.default_rng(0), []
    for trial in range(150):
        for _ in range(int(generator.integers(2, 5))):
            words = generator.choice(WORDS, 4, replace=False)
            rate = 0.1 * math.exp(1.2 * ("tea" in words) - 1.2 * ("rope" in words))
            shown = int(generator.integers(900, 1100))
            rows.append((f"t{trial}", " ".join(words), shown, generator.binomial(shown, rate)))
    table = pl.DataFrame(rows, ["trial", "text", "shown", "clicked"], orient="row")
    path = tmp_path_factory.mktemp("trials") / "trials.csv"
    table.write_csv(path)
    return str(path)


def test_the_ridge_is_a_newton_step_on_the_penalised_likelihood_of_clicks():
    generator = torch.Generator().manual_seed(0)
    texts = torch.arange(1, 25).reshape(6, 4)
    texts[::2, 3], texts[0, 2] = 0, 0
    there = texts > 0
    shown = torch.randint(500, 900, texts.shape, generator=generator) * there
    clicked = torch.randint(1, 90, texts.shape, generator=generator) * there
    vectors = torch.randn(25, 3, generator=generator)
    trials = Trials(texts, shown.float(), clicked.float())
    total, arms = clicked.sum(1), there.sum(1)
    weights = total / (1 + total / (20 * arms))

    def loss(head):
        likely = (vectors[texts] @ head + shown.log()).log_softmax(1).masked_fill(~there, 0)
        each = (clicked * likely).sum(1) / total
        return 0.05 * head.square().sum() / 2 - (weights * each).sum() / weights.sum()

    start = torch.zeros(3)
    slope = torch.autograd.functional.jacobian(loss, start)
    step = torch.linalg.solve(torch.autograd.functional.hessian(loss, start), -slope)
    torch.testing.assert_close(ridge(vectors, trials, 20.0, 0.05), step, rtol=1e-3, atol=1e-5)


def test_what_is_clicked_is_learned_from_other_tests(path):
    data = TrialData(path, WordEncoder(256))
    head, test = ridge(data.vectors, data.parts["train"]), data.parts["test"]
    assert test.agreement((data.vectors @ head)[test.texts]).mean() > 0.9
    assert test.agreement(torch.zeros(test.texts.shape)).unique().tolist() == [0.5]
    tea, rope = WordEncoder(256).encode(["tea", "rope"]) @ head
    assert tea > 0 > rope


def test_arms_that_share_a_text_are_one_and_held_out_texts_are_not_trained_on(path, tmp_path):
    rows = [("a", "red", 10, 1), ("a", "tea", 9, 2), ("a", "red", 5, 3)]
    rows += [("b", "red", 9, 0), ("b", "tea", 9, 0), ("c", "red", 9, 3), ("c", "red", 9, 1)]
    table = pl.DataFrame(rows, ["test", "text", "shown", "clicked"], orient="row")
    table.write_parquet(tmp_path / "few.parquet")
    arms = TrialData(str(tmp_path / "few.parquet"), WordEncoder(), trial="test").arms
    assert arms.rows() == [("a", "red", 15, 4), ("a", "tea", 9, 2)]
    test, train = TrialData(path, WordEncoder()).parts.values()
    assert not {*test.texts.unique().tolist()} & {*train.texts.unique().tolist()} - {0}
    assert len(test.texts) == 30
    assert 60 < len(train.texts) <= 120


def test_what_cannot_be_read_is_named(path, tmp_path):
    with pytest.raises(RecipeError, match="`test` is 1"):
        TrialData(path, WordEncoder(), test=1)
    with pytest.raises(DataError, match=r"no column 'test'.*the argument trial"):
        TrialData(path, WordEncoder(), trial="test").arms  # noqa: B018
    bad = tmp_path / "bad.csv"
    bad.write_text("trial,text,shown,clicked\na,red,9,1\na,,9,1\na,tea,0,1\na,of,9,many\n,a,9,10\n")
    with pytest.raises(DataError, match=r"(?s)Line 4, column 'shown': '0'.*Lines 4, 5 and 6, col"):
        TrialData(str(bad), WordEncoder()).arms  # noqa: B018
