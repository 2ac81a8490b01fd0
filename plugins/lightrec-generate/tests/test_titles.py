"""Titles as identifiers: the law over a catalog, equal titles, and what the core's stage does."""

import pytest
import torch
from lightrec_generate.titles import TitleDecoder

from lightrec.ranking.language_readers import Decoder, LanguageReader, words_of_items
from lightrec.run import Run
from lightrec.stages.run import run
from lightrec.testing.tiny import FAST, write_log

WORDS = ["", "a red lamp", "tea of rope", "song", "red tea", "song", "", "a red song", "a red"]
HISTORIES = torch.tensor([[0, 4, 2], [0, 0, 0]])
ALL = torch.arange(1, len(WORDS)).expand(2, -1)


@pytest.fixture(scope="module")
def titles(decoder):
    torch.manual_seed(0)
    made = TitleDecoder(decoder)
    for parameter in made.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.3)
    return made.eval()


def test_probabilities_of_the_catalog_sum_to_one(titles):
    found = titles.scores(HISTORIES, ALL, WORDS).detach()
    torch.testing.assert_close(found.exp().sum(1), torch.ones(2), atol=1e-5, rtol=0)
    assert torch.equal(found[:, 2], found[:, 4])  # two songs
    free = Decoder.scores(titles, HISTORIES, ALL, WORDS)
    assert (free.exp().sum(1) < 0.9).all()


def test_tokens_are_chosen_among_those_that_go_on(titles):
    cut = titles.tokenizer(WORDS[1:], add_special_tokens=False)["input_ids"]
    lines = [[*tokens, titles.newline] for tokens in cut]
    before = [titles.start]
    for item in (4, 2):
        before += [*titles.tokenizer(WORDS[item], add_special_tokens=False)["input_ids"]]
        before += [titles.newline]
    for item in (1, 3, 7, 8):
        line = lines[item - 1]
        with torch.no_grad():
            logits = titles.base(torch.tensor([before + line])).logits[0, len(before) - 1 :]
        total = -torch.tensor(float(lines.count(line))).log()
        for place, token in enumerate(line):
            ways = sorted({o[place] for o in lines if o[:place] == line[:place]})
            total = total + logits[place, ways].log_softmax(0)[ways.index(token)]
        found = titles.scores(HISTORIES[:1], torch.tensor([[item]]), WORDS)[0, 0].detach()
        torch.testing.assert_close(found, total, atol=1e-4, rtol=1e-4)


def test_gradients_are_those_of_the_law(titles):
    """A law's expected score is zero: the gradient of a sum that is always 1."""
    trained = [p for p in titles.parameters() if p.requires_grad]
    total = titles.scores(HISTORIES, ALL, WORDS).exp().sum()
    for gradient in torch.autograd.grad(total, trained):
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-5, rtol=0)


def test_padding_among_candidates_is_harmless(titles):
    padded = torch.tensor([[3, 0], [1, 0]])
    loss = titles.scores(HISTORIES, padded, WORDS)[:, 0].sum()
    for parameter in titles.parameters():
        if parameter.requires_grad:
            (gradient,) = torch.autograd.grad(loss, parameter, retain_graph=True)
            assert gradient.isfinite().all()


def test_a_run_learns_to_rerank_by_titles(decoder, tmp_path):
    """The stage leaves a reader whose law is over the catalog, and a weight from validation."""
    log, items = write_log(tmp_path)
    model = "--model.init_args.reader.init_args"
    settings = {
        "values": ["--text_encoder=null"],
        "data": FAST["data"],
        "identifiers": ["--size=8", "--chosen_size=8"],
        "generator": ["--trainer.max_epochs=1", "--data.init_args.batch_size=16"],
        "titles": [
            *(
                f"{model}.model={decoder}",
                "--data.init_args.hard=20",
                "--data.init_args.max_judged=20",
            ),
            *("--data.init_args.max_trained=40", "--trainer.precision=32-true"),
        ],
    }
    given = {"log": log, "items": items, "overrides": settings}
    found = Run(run("generator-alone", out=tmp_path / "run", until="titles", **given))
    metrics = found.metrics("titles")
    assert metrics["test/events"] == 20
    assert metrics["reader/weight"] >= 0
    reader = LanguageReader.load(found.folder("titles"))
    assert isinstance(reader, TitleDecoder)
    words = words_of_items(found.data)
    law = reader.scores(torch.tensor([[1, 2]]), torch.arange(1, 49)[None], words)
    torch.testing.assert_close(law.exp().sum(), torch.tensor(1.0), atol=1e-4, rtol=0)
