"""Readers: what they say against whole sequences, what they keep, and how they re-rank."""

import json
import math
import shutil
from types import SimpleNamespace

import pytest
import torch
from lightrec_generate.language_readers import Decoder, LanguageReader, PairClassifier
from lightrec_generate.reader_module import ReaderModule
from lightrec_generate.reranking import DEPTH, ByReader, Lists, choose_weight

from lightrec.__main__ import main
from lightrec.encoders.text import TextEncoder
from lightrec.recommend import load
from lightrec.stages.run import run
from lightrec.testing import tiny

HISTORIES = [["a red lamp", "tea of rope"], [], ["song"]]
CANDIDATES = [
    ["song", "lamp", "tea"],
    ["red", "a of", "rope and song and"],
    ["of", "tea a tea", ""],
]


@pytest.fixture
def made(encoder, decoder):
    """Makes a reader of a kind: a classifier, or a decoder by its score."""

    def make(kind):
        if kind == "classifier":
            return PairClassifier(encoder, layers=1, max_length=32).eval()
        return Decoder(decoder, score=kind).eval()

    return make


KINDS = ("classifier", "mean", "sum", "head")


@pytest.mark.parametrize("kind", KINDS[1:])
def test_a_decoder_says_of_lines_what_it_says_of_whole_sequences(made, kind):
    reader = made(kind)
    cut = lambda text: reader.tokenizer(text, add_special_tokens=False)["input_ids"]  # noqa: E731
    with torch.no_grad():
        scores = reader(HISTORIES, CANDIDATES)
        for row, history in enumerate(HISTORIES):
            before = [reader.start]
            for item in history:
                before += [*cut(item), reader.newline]
            before += [] if history else [reader.newline]
            for column, item in enumerate(CANDIDATES[row]):
                line = [*cut(item), reader.newline]
                whole = torch.tensor([before + line])
                likely = reader.base(whole).logits[0].log_softmax(-1)[len(before) - 1 : -1]
                likely = likely.gather(1, torch.tensor(line)[:, None])
                last = reader.base.base_model(whole).last_hidden_state[0, -2]
                expected = {"mean": likely.mean(), "sum": likely.sum()}.get(kind)
                expected = reader.head(last) if kind == "head" else expected
                torch.testing.assert_close(scores[row, column], expected.squeeze())


def test_a_classifier_reads_the_latest_item_first_and_the_candidate_last(made, encoder):
    reader = made("classifier")
    encoder = TextEncoder(encoder, cache=False, device="cpu")
    tokens = encoder.tokenizer("tea of rope; a red lamp", "lamp", return_tensors="pt")
    assert tokens["token_type_ids"].any()
    encoder.load_weights().load_state_dict(reader.encoder.transformer.state_dict())
    with torch.no_grad():
        expected = reader.head(encoder.pooled(dict(tokens)))
        torch.testing.assert_close(reader(HISTORIES, CANDIDATES)[0, 1:2], expected[0])


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_frozen_stays_bit_for_bit_and_what_is_trained_is_all_that_is_saved(
    made, kind, tmp_path
):
    reader = made(kind)
    before = {name: p.detach().clone() for name, p in reader.named_parameters()}
    trained = {name for name, p in reader.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(reader.parameters(), lr=0.1)
    for _ in range(2):  # what adapters are multiplied by starts at 0
        optimizer.zero_grad()
        scores = reader(HISTORIES, CANDIDATES)
        (scores.logsumexp(1) - scores[:, 0]).sum().backward()
        optimizer.step()
    changed = {n for n, p in reader.named_parameters() if not torch.equal(p, before[n])}
    # A head's bias, and what looks for the keys of one line's tokens alone, do not order anything.
    assert changed <= trained
    assert len(changed) > 0.7 * len(trained)
    reader.weight.fill_(0.3)
    reader.save_pretrained(tmp_path / "reader")
    assert set(reader.state_dict()) == trained | {"weight"}
    loaded = LanguageReader.load(tmp_path / "reader")
    with torch.no_grad():
        assert torch.equal(loaded(HISTORIES, CANDIDATES), reader.eval()(HISTORIES, CANDIDATES))
    assert loaded.weight == pytest.approx(0.3)


def lists(events=400, seed=0):
    generator = torch.Generator().manual_seed(seed)
    items = torch.rand(events, 40, generator=generator).argsort(1)[:, :DEPTH] + 1
    came = torch.randint(0, 25, (events,), generator=generator)
    targets = torch.where(came < DEPTH, items.gather(1, came.clamp_max(19)[:, None])[:, 0], 50)
    scores = torch.randn(events, DEPTH, generator=generator).sort(1, descending=True).values
    return Lists(items, items, scores, targets, torch.arange(events))


def test_a_weight_is_chosen_where_it_helps_and_none_where_it_does_not():
    first = lists()
    came = (first.items == first.targets[:, None]).float()
    noise = torch.randn(came.shape, generator=torch.Generator().manual_seed(1))
    helped = first.ranked(first.scores + choose_weight(first, came + 0.1 * noise) * came)
    assert helped.metrics()["ndcg@10"] > 1.3 * first.ranked(first.scores).metrics()["ndcg@10"]
    assert choose_weight(first, -came) == 0
    assert choose_weight(first, torch.zeros_like(came)) == 0
    assert choose_weight(first.only(torch.zeros(0, dtype=torch.long)), came[:0]) == 0
    # Who is not listed is missed, whatever the scores.
    missed = ~first.listed
    assert missed.any()
    assert first.ranked(came).ranks[missed].isinf().all()


class Shortest(LanguageReader):
    """Likes few letters, and notes what it is asked for."""

    def forward(self, histories, candidates):
        self.asked = candidates
        return torch.tensor([[-float(len(item)) for item in items] for items in candidates])


def test_a_reader_orders_the_first_items_and_leaves_the_others_below_them():
    words = ["", *("x" * (n % 7 + 1) for n in range(40))]
    table = torch.randn(3, 41, generator=torch.Generator().manual_seed(0))
    ranker, history = ByReader(40, None), torch.ones(3, 2, dtype=torch.long)
    ranker.reader, ranker.words = Shortest(), words
    first = table.scatter(1, torch.tensor([[5], [6], [0]]), -torch.inf)
    assert torch.equal(ranker.lifted(first, history), first)  # without weight
    ranker.reader.weight.fill_(100.0)
    lifted = ranker.lifted(first, history)
    top = first.topk(DEPTH, 1).indices
    assert torch.equal(lifted.topk(DEPTH, 1).indices.sort(1).values, top.sort(1).values)
    lengths = [[len(words[i]) for i in row] for row in lifted.topk(DEPTH, 1).indices.tolist()]
    assert lengths == [sorted(row) for row in lengths]
    rest = torch.ones_like(first).scatter(1, top, 0).bool()
    assert torch.equal(lifted[rest], first[rest])


def test_negatives_are_others_of_the_list(monkeypatch):
    module = ReaderModule(50, 0, Shortest(), group=4)
    words = [str(n) for n in range(51)]
    monkeypatch.setattr(module, "data_of", lambda kind: SimpleNamespace(words=words))
    items = torch.tensor([[1, 2, 3, 4, 5], [6, 7, 0, 0, 0]])
    for _ in range(9):
        loss = module.loss(items, items, torch.tensor([3, 50]))
        first, second = module.reader.asked
        assert first[0] == "3"
        assert len({*first}) == 4
        assert {*first} < {"1", "2", "3", "4", "5"}
        assert {*second} == {"50", "6", "7", "0"}
    # Four items of one letter, and three, two of which have a letter less than what came.
    expected = (math.log(4) + math.log(1 + 2 * math.e)) / 2
    assert loss.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_the_stage_leaves_a_reader_that_recommends(encoder, tmp_path, capsys):
    again = tmp_path / "tiny"
    shutil.copytree(tiny.kit_run(), again, symlinks=True)
    log, items = tiny.write_log(tmp_path)
    reader = {"class_path": "PairClassifier", "init_args": {"model": encoder, "layers": 1}}
    settings = [f"--model.init_args.reader={json.dumps(reader)}", "--data.init_args.max_trained=40"]
    overrides = tiny.FAST | {"reader": settings}
    run("generic", out=again, log=log, items=items, overrides=overrides, until="reader")
    recommender = load(again, by="reader")
    metrics = recommender.run.metrics("reader")
    reader = recommender.ranker.reader
    assert reader.weight == metrics["reader/weight"]
    if not metrics["reader/weight"]:
        assert "changes nothing" in recommender.reason
    usual = recommender.recommend("u3", k=DEPTH)
    assert usual.equals(load(again, by="blend").recommend("u3", k=DEPTH)) or reader.weight
    reader.weight.fill_(50.0)
    reranked = recommender.recommend("u3", k=DEPTH)
    assert set(reranked["item"]) == set(usual["item"])
    assert reranked["item"].to_list() != usual["item"].to_list()
    capsys.readouterr()
    assert main(["evaluate", str(again)]) == 0
    assert "The reader" in capsys.readouterr().out
