"""Randomised trials of texts: the split, the listwise loss, and what a tuned encoder leaves."""

import json
import math

import numpy as np
import polars as pl
import pytest
import torch
from lightrec_news.trials import TrialData, TrialModule, Trials, ridge
from lightrec_testing.tiny import tiny_text_model
from safetensors.torch import load_file

from lightrec.__main__ import main
from lightrec.encoders.hub import HEAD, TUNED
from lightrec.encoders.layers import LinearMap
from lightrec.encoders.text import TextEncoder
from lightrec.errors import DataError

WORDS = ("red", "lamp", "tea", "rope", "song", "of", "and", "a")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A text model of random weights, and trials in which tea is clicked and rope is not."""
    folder = tmp_path_factory.mktemp("trials")
    (folder / "model").mkdir()
    tiny_text_model(folder / "model")
    generator, rows = np.random.default_rng(0), []
    for trial in range(150):
        for _ in range(int(generator.integers(2, 5))):
            words = generator.choice(WORDS, 4, replace=False)
            rate = 0.1 * math.exp(1.2 * ("tea" in words) - 1.2 * ("rope" in words))
            shown = int(generator.integers(900, 1100))
            rows.append((f"t{trial}", " ".join(words), shown, generator.binomial(shown, rate)))
    table = pl.DataFrame(rows, ["trial", "text", "shown", "clicked"], orient="row")
    table.write_csv(folder / "trials.csv")
    return folder


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("LIGHTREC_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def data(folder):
    return TrialData(str(folder / "trials.csv"), TextEncoder(str(folder / "model"), device="cpu"))


def linear(enough):
    """Trials of two to four arms, their vectors, and a module whose score is linear in these."""
    generator = torch.Generator().manual_seed(0)
    texts = torch.arange(1, 25).reshape(6, 4)
    texts[::2, 3], texts[0, 2] = 0, 0
    there = texts > 0
    shown = torch.randint(500, 900, texts.shape, generator=generator) * there
    clicked = torch.randint(1, 90, texts.shape, generator=generator) * there
    vectors = torch.randn(25, 3, generator=generator)
    module = TrialModule(24, 3, enough=enough)
    module.part = LinearMap(3)
    module.part.forward = lambda numbers: vectors[numbers]
    return Trials(texts, shown.float(), clicked.float()), vectors, module


def test_the_loss_is_the_multinomial_likelihood_of_clicks_given_what_was_shown():
    trials, vectors, module = linear(1e12)
    module.head.data = torch.tensor([0.5, -1.0, 0.2])
    total = clicks = 0.0
    for texts, shown, clicked in zip(*(part.double().numpy() for part in trials), strict=True):
        arms = texts > 0
        odds = (
            shown[arms] * np.exp(vectors[texts[arms]].double() @ module.head.data.double()).numpy()
        )
        total -= (clicked[arms] * np.log(odds / odds.sum())).sum()
        clicks += clicked.sum()
    assert module.loss(trials).item() == pytest.approx(total / clicks, rel=1e-5)


def test_the_ridge_is_a_newton_step_on_the_penalised_loss():
    trials, vectors, module = linear(20.0)
    del module.head

    def loss(head):
        module.head = head
        return module.loss(trials) + 0.05 * head.square().sum() / 2

    start = torch.zeros(3)
    slope = torch.autograd.functional.jacobian(loss, start)
    step = torch.linalg.solve(torch.autograd.functional.hessian(loss, start), -slope)
    torch.testing.assert_close(ridge(vectors, trials, 20.0, 0.05), step, rtol=1e-3, atol=1e-5)


def test_arms_that_share_a_text_are_one_and_held_out_texts_are_not_trained_on(data, tmp_path):
    rows = [("a", "red", 10, 1), ("a", "tea", 9, 2), ("a", "red", 5, 3)]
    rows += [("b", "red", 9, 0), ("b", "tea", 9, 0), ("c", "red", 9, 3), ("c", "red", 9, 1)]
    table = pl.DataFrame(rows, ["test", "text", "shown", "clicked"], orient="row")
    table.write_parquet(tmp_path / "few.parquet")
    arms = TrialData(str(tmp_path / "few.parquet"), TextEncoder("none"), trial="test").arms
    assert arms.rows() == [("a", "red", 15, 4), ("a", "tea", 9, 2)]
    texts = {name: {*trials.texts.unique().tolist()} - {0} for name, trials in data.parts.items()}
    assert not texts["train"] & (texts["test"] | texts["validation"])
    test, validation, train = (len(trials.texts) for trials in data.parts.values())
    assert (test, validation) == (30, 15)
    assert 60 < train <= 105


def test_what_cannot_be_read_is_named(folder, tmp_path):
    with pytest.raises(DataError, match=r"no column 'test'.*--data.init_args.trial NAME"):
        TrialData(str(folder / "trials.csv"), TextEncoder("none"), trial="test").arms  # noqa: B018
    bad = tmp_path / "bad.csv"
    bad.write_text("trial,text,shown,clicked\na,red,9,1\na,,9,1\na,tea,0,1\na,of,9,many\n,a,9,10\n")
    with pytest.raises(DataError, match=r"(?s)Line 4, column 'shown': '0'.*Lines 4, 5 and 6, col"):
        TrialData(str(bad), TextEncoder("none")).arms  # noqa: B018


@pytest.mark.parametrize("tune", ["map", pytest.param("layers", marks=pytest.mark.slow)])
def test_the_recipe_learns_and_leaves_an_encoder_with_its_score(folder, data, tmp_path, tune):
    out = tmp_path / "run" / "text"
    settings = {
        "data.init_args.path": folder / "trials.csv",
        "data.init_args.text_encoder.init_args.model": folder / "model",
        "data.init_args.text_encoder.init_args.device": "cpu",
        "data.init_args.batch_size": 8,
        "model.init_args.tune": tune,
        "model.init_args.layers": 1,
        "model.init_args.learning_rate": 0.003,
        "trainer.max_epochs": 6,
        "trainer.accelerator": "cpu",
    }
    words = [f"--{name}={value}" for name, value in settings.items()]
    assert main(["fit", "-c", "trials/text", "--out", str(out), *words]) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["test/tuned/accuracy"] > 0.7
    assert json.loads((out / TUNED).read_text())["from"] == str(folder / "model")
    # Whoever loads the folder orders the test's pairs as the module did.
    scores = TextEncoder(str(out), device="cpu").encode(data.texts) @ load_file(out / HEAD)["head"]
    scores, test = torch.cat([torch.zeros(1), scores]), data.parts["test"]
    accuracy = test.agreement(scores[test.texts]).mean().item()
    assert accuracy == pytest.approx(metrics["test/tuned/accuracy"], abs=0.02)
