"""Choosing settings, and the blend that comes of it."""

import json
from typing import ClassVar

import pytest
import torch

from lightrec.api import Key, Ranker
from lightrec.errors import PluginError, RunError
from lightrec.ranking import blend as blends
from lightrec.ranking.blend import Blend, described_models
from lightrec.ranking.blending import chosen, pruned
from lightrec.ranking.item_models.base import Popularity, choose, combinations
from lightrec.ranking.item_models.item_to_item import EASE
from lightrec.ranking.reranker import Reranker
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


def test_a_setting_is_open_while_fitting_only_where_the_class_says_so():
    class Decaying(Popularity):
        GRID: ClassVar = {"decay": (0.2, 0.6)}

        def __init__(self, decay=None):
            super().__init__()
            self.decay, self.fitted = decay, None

        def fit(self, evidence):
            self.fitted = self.decay
            return self

    assert choose(Decaying(), evidence(), lambda model: model.fitted)[1] == 0.6


@pytest.fixture
def ranker():
    torch.manual_seed(0)
    return Ranker(N, size=8).eval()


def test_a_blend_adds_up_logarithms(ranker, monkeypatch):
    model = EASE(3.0, 0.5).fit(evidence())
    blend = Blend(ranker, {"EASE": model}, {"ranker": 0.7, "EASE": 0.3}, smoothing=0.2)
    raw = model.scores(HISTORY)[:, 1:].clamp_min(0)
    share = raw / raw.sum(1, keepdim=True).clamp_min(1e-12)
    expected = 0.7 * ranker.scores(HISTORY)[:, 1:] + 0.3 * (share + 0.2 / N).log()
    torch.testing.assert_close(blend.scores(HISTORY)[:, 1:], expected)
    assert (blend.scores(HISTORY)[:, 0] == -torch.inf).all()
    monkeypatch.setattr(blends, "HELD", 1)  # an event at once
    torch.testing.assert_close(blend.scores(HISTORY)[:, 1:], expected)


@pytest.fixture
def models():
    return {"EASE": EASE(3.0, 0.5).fit(evidence()), "Popularity": Popularity().fit(evidence())}


def test_a_second_look_is_saved_with_the_parts_that_it_reads(ranker, models, tmp_path):
    torch.manual_seed(0)
    reranker = Reranker(["ranker", "EASE"], repeats=True)
    for weights in reranker.parameters():
        weights.data = torch.randn_like(weights)
    blend = Blend(ranker, models, {"ranker": 1.0, "EASE": 0.0, "Popularity": 0.0}, 0.1, reranker)
    assert blend.parts == ["ranker", "EASE"]
    ranker.save_pretrained(tmp_path)
    blend.save(tmp_path)
    again = Blend.load(tmp_path)
    torch.testing.assert_close(again.scores(HISTORY), blend.scores(HISTORY))
    assert {*again.item_models} == {"EASE"}
    plain, _ = blend.summed(HISTORY)
    assert not torch.allclose(again.scores(HISTORY)[:, 1:], plain[:, 1:])
    torch.testing.assert_close(again.scores(HISTORY).logsumexp(1), plain.logsumexp(1))


def test_saved_and_loaded(ranker, models, tmp_path):
    weights = {"ranker": 0.7, "EASE": 0.3, "Popularity": 0.0}
    blend = Blend(ranker, models, weights)
    blend.chosen = "part"
    ranker.save_pretrained(tmp_path)
    blend.save(tmp_path)
    again = Blend.load(tmp_path)
    torch.testing.assert_close(again.scores(HISTORY), blend.scores(HISTORY))
    assert set(again.item_models) == {"EASE"}
    assert again.weights == weights
    assert again.chosen == "part"
    described = {name: model.settings for name, model in described_models(tmp_path).items()}
    assert described == {name: model.settings for name, model in models.items()}
    assert json.loads((tmp_path / "blend.json").read_text())["smoothing"] == 0.1


class Forgetful(Popularity):
    """Leaves something out, as ``fault`` says."""

    def __init__(self, fault: str = ""):
        super().__init__()
        self.fault = fault
        if fault == "parameter":
            self.weight = torch.nn.Parameter(torch.ones(1))

    def fit(self, evidence):
        return None if self.fault == "fit" else super().fit(evidence)

    def scores(self, histories, users=None, *, details=None):
        return super().scores(histories) * (float("nan") if self.fault == "scores" else 1)


def test_an_item_model_that_forgets_gives_nothing_or_gives_no_numbers_is_named(ranker, tmp_path):
    model = Forgetful("parameter").fit(evidence())
    with pytest.raises(PluginError, match=r"Forgetful of .* holds weight, and of an item model"):
        Blend(ranker, {"Forgetful": model}, {"ranker": 1.0, "Forgetful": 0.0}).save(tmp_path)
    events = [{Key.HISTORY: HISTORY, Key.TARGET: torch.tensor([1, 2, 3]), Key.SEEN: HISTORY}]
    for fault, said in (("fit", r"`fit` of Forgetful .* `return self`"), ("scores", "NaN")):
        with pytest.raises(PluginError, match=said):
            chosen({"Forgetful": Forgetful(fault)}, evidence(), events)


def test_a_ranker_alone_is_a_blend_too(ranker, tmp_path):
    ranker.save_pretrained(tmp_path)
    torch.testing.assert_close(Blend.load(tmp_path).scores(HISTORY), ranker.scores(HISTORY))
    assert described_models(tmp_path) == {}
    with pytest.raises(RunError, match="There is no Ranker in"):
        Blend.load(tmp_path / "nowhere")


def test_where_no_part_has_any_weight_the_ranker_ranks_alone():
    assert pruned({"ranker": 0.5, "EASE": 0.004}) == {"ranker": 0.5, "EASE": 0.0}
    assert pruned({"ranker": 0.0, "EASE": 0.0}) == {"ranker": 1.0, "EASE": 0.0}
