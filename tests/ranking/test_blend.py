"""Choosing settings, fitting weights, and the blend that comes of it."""

import json

import numpy as np
import pytest
import torch
from torch.nn.functional import log_softmax

from lightrec.errors import NotApplicable, RunError
from lightrec.keys import Key
from lightrec.ranking.blend import Blend, described_models, names_of
from lightrec.ranking.blending import fit_weights, heard
from lightrec.ranking.item_models.base import Popularity, choose, combinations
from lightrec.ranking.item_models.item_to_item import EASE, NextItemRidge
from lightrec.ranking.ranker import Ranker
from lightrec.testing import tiny
from tests.ranking.item_models.test_item_models import N, evidence

HISTORY = torch.tensor([[0, 0, 2, 5], [1, 6, 3, 4], [0, 0, 0, 0]])


def test_open_settings_are_chosen_and_only_those():
    tried = []

    def judge(model):
        tried.append((model.l2, model.decay))
        return -abs(model.l2 - 200) - abs(model.decay - 0.9)

    given = EASE()
    best, value = choose(given, evidence(), judge)
    assert (best.l2, best.decay, value) == (200.0, 0.9, 0.0)
    assert tried == [(a, b) for a in EASE.GRID["l2"] for b in EASE.GRID["decay"]]
    assert given.settings == {"l2": None, "decay": None}
    assert given.matrix is None
    torch.testing.assert_close(best.matrix, EASE(200.0, 0.9).fit(evidence()).matrix)
    tried.clear()
    assert choose(EASE(50.0), evidence(), judge)[0].decay == 0.9
    assert {l2 for l2, _ in tried} == {50.0}
    assert choose(Popularity(), evidence(), lambda _: 1.0)[1] == 1.0
    assert combinations({}) == [{}]


def test_scoring_settings_fit_once(monkeypatch):
    fits, fit = [], EASE.fit
    monkeypatch.setattr(EASE, "fit", lambda self, e: fits.append(self.l2) or fit(self, e))
    choose(EASE(), evidence(), lambda _: 0.0)
    assert fits == list(EASE.GRID["l2"])


def test_what_does_not_fit_the_log_is_told():
    with pytest.raises(NotApplicable):
        choose(NextItemRidge(), evidence(is_ordered=False), lambda _: 0.0)


def sampled(weights, events=4000, items=30, seed=0):
    generator = torch.Generator().manual_seed(seed)
    parts = torch.randn(len(weights), events, items, generator=generator)
    logits = torch.einsum("k,kec->ec", torch.tensor(weights), parts)
    came = torch.multinomial(logits.softmax(1), 1, generator=generator)
    own = parts.gather(2, came.expand(len(weights), -1, 1)).squeeze(2)
    blocked = torch.zeros(events, items, dtype=torch.bool).scatter_(1, came, True)
    return parts, blocked, own


def test_weights_that_made_the_events_are_found():
    parts, blocked, own = sampled([0.8, 0.0, 1.5])
    found = fit_weights(parts, blocked, own, torch.tensor([1.0, 0.0, 0.0]))
    assert found.tolist() == pytest.approx([0.8, 0.0, 1.5], abs=0.06)
    assert (found >= 0).all()


def test_weights_are_at_the_maximum_of_the_likelihood():
    parts, blocked, own = sampled([0.8, 0.4], events=200)
    start = torch.tensor([1.0, 0.0])
    found = fit_weights(parts, blocked, own, start)

    def loss(weights):
        logits = torch.einsum("k,kec->ec", weights, parts).masked_fill(blocked, -torch.inf)
        everything = torch.cat([(weights @ own)[:, None], logits], 1).double()
        return -log_softmax(everything, 1)[:, 0].sum() + (weights - start).square().sum() / 2

    for step in torch.tensor([[0.02, 0.0], [-0.02, 0.0], [0.0, 0.02], [0.0, -0.02]]):
        assert loss(found + step) > loss(found)


def test_a_sample_of_items_stands_for_all():
    parts, blocked, own = sampled([0.8, 0.4], items=60)
    sample = parts[:, :, ::2], blocked[:, ::2], own
    start = torch.tensor([1.0, 0.0])
    found = fit_weights(*sample, start, correction=float(np.log(2)))
    assert found.tolist() == pytest.approx(
        fit_weights(parts, blocked, own, start).tolist(), abs=0.1
    )


def test_without_events_the_weights_stay_as_they_were():
    start = torch.tensor([1.0, 0.0])
    nothing = torch.zeros(2, 0, 5), torch.zeros(0, 5, dtype=torch.bool), torch.zeros(2, 0)
    assert torch.equal(fit_weights(*nothing, start), start)


@pytest.fixture
def ranker():
    torch.manual_seed(0)
    return Ranker(N, size=8).eval()


def test_a_blend_adds_up_logarithms(ranker):
    model = EASE(3.0, 0.5).fit(evidence())
    blend = Blend(ranker, {"EASE": model}, {"ranker": 0.7, "EASE": 0.3}, smoothing=0.2)
    raw = model.scores(HISTORY)[:, 1:].clamp_min(0)
    share = raw / raw.sum(1, keepdim=True).clamp_min(1e-12)
    expected = 0.7 * ranker.scores(HISTORY)[:, 1:] + 0.3 * (share + 0.2 / N).log()
    torch.testing.assert_close(blend.scores(HISTORY)[:, 1:], expected)
    assert (blend.scores(HISTORY)[:, 0] == -torch.inf).all()


def test_a_ranker_of_no_weight_is_not_heard(ranker):
    model = Popularity().fit(evidence())
    blend = Blend(ranker, {"Popularity": model}, {"ranker": 0.0, "Popularity": 1.0})
    assert blend.scores(HISTORY)[0].argsort().tolist() == model.counts.argsort().tolist()


def test_saved_and_loaded(ranker, tmp_path):
    models = {
        "EASE": EASE(3.0, 0.5).fit(evidence()),
        "Popularity": Popularity().fit(evidence()),
    }
    weights = {"ranker": 0.7, "EASE": 0.3, "Popularity": 0.0}
    blend = Blend(ranker, models, weights)
    ranker.save_pretrained(tmp_path)
    blend.save(tmp_path)
    again = Blend.load(tmp_path)
    torch.testing.assert_close(again.scores(HISTORY), blend.scores(HISTORY))
    assert set(again.item_models) == {"EASE"}
    assert again.weights == weights
    described = described_models(tmp_path)
    assert {n: f.settings for n, f in described.items()} == {
        n: f.settings for n, f in models.items()
    }
    assert json.loads((tmp_path / "blend.json").read_text())["smoothing"] == 0.1


def test_a_ranker_alone_is_a_blend_too(ranker, tmp_path):
    ranker.save_pretrained(tmp_path)
    torch.testing.assert_close(Blend.load(tmp_path).scores(HISTORY), ranker.scores(HISTORY))
    assert described_models(tmp_path) == {}
    with pytest.raises(RunError, match="There is no Ranker in"):
        Blend.load(tmp_path / "nowhere")


def test_names_are_classes_and_never_the_same():
    assert list(names_of([EASE(), Popularity(), EASE(1.0)])) == ["EASE", "Popularity", "EASE-2"]


def test_logarithms_far_from_zero_cost_no_digits():
    # What is added to all of a part's logarithms changes no likelihood.
    parts, blocked, own = sampled([0.8, 0.2, 0.2], events=4000, items=200)
    start = torch.tensor([1.0, 0.0, 0.0])
    shifted = fit_weights(parts - 100, blocked, own - 100, start)
    assert shifted.tolist() == pytest.approx(
        fit_weights(parts, blocked, own, start).tolist(), abs=3e-4
    )


def test_the_ranker_reads_what_else_is_known_of_a_history(ranker):
    torch.manual_seed(0)
    reading = Ranker(N, size=8, feedback_kinds=2, gaps=3).eval()
    torch.nn.init.normal_(reading.feedback)
    torch.nn.init.normal_(reading.gaps)
    model = Popularity().fit(evidence())
    blend = Blend(reading, {"Popularity": model}, {"ranker": 0.5, "Popularity": 0.5})
    known = {"feedback": (HISTORY > 0) * (1 + HISTORY % 2), "gap": (HISTORY > 0) * 3}
    added = blend.scores(HISTORY, details=known) - blend.scores(HISTORY)
    own = reading.scores(HISTORY, details=known) - reading.scores(HISTORY)
    torch.testing.assert_close(added[:, 1:], 0.5 * own[:, 1:], atol=1e-5, rtol=1e-4)
    assert own[:2, 1:].abs().min() > 0
    # A batch has other keys, too; a ranker that learned of items alone asks for none.
    batch = known | {"history": HISTORY, "target": HISTORY[:, 0]}
    torch.testing.assert_close(
        blend.scores(HISTORY, details=batch), blend.scores(HISTORY, details=known)
    )
    plain = Blend(ranker)
    torch.testing.assert_close(plain.scores(HISTORY, details=batch), plain.scores(HISTORY))


def test_all_that_scores_items_does_it_by_one_signature(ranker):
    popularity = Popularity().fit(evidence())
    users = tiny.tiny_user_model(N)
    blend = Blend(ranker, {"Popularity": popularity}, {"ranker": 1.0, "Popularity": 0.5})
    for scorer in (ranker, popularity, EASE(3.0, 0.5).fit(evidence()), blend, users):
        found = scorer.scores(HISTORY, torch.arange(len(HISTORY)), details={Key.HISTORY: HISTORY})
        assert found.shape == (len(HISTORY), N + 1)
        assert torch.equal(found, scorer.scores(HISTORY))


def test_where_no_part_has_any_weight_the_ranker_ranks_alone():
    assert heard({"ranker": 0.5, "EASE": 0.004}) == {"ranker": 0.5, "EASE": 0.0}
    assert heard({"ranker": 0.004, "EASE": 0.0}) == {"ranker": 1.0, "EASE": 0.0}
