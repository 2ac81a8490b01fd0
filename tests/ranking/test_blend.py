"""A blend: its settings and weights, against known ones, and the second look at its first items."""

import json
import math
from typing import ClassVar

import pytest
import torch

from lightrec.api import Key, Ranker
from lightrec.errors import PluginError, RunError
from lightrec.ranking import blend as blends
from lightrec.ranking import reranker as rerankers
from lightrec.ranking.blend import Blend, described_models
from lightrec.ranking.blend_weights import (
    ABSENT,
    Candidates,
    choice_in_words,
    choose_weights,
    fit_weights,
    gains,
    search_weights,
)
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


def test_weights_that_made_the_events_are_found():
    weights, events, items = [0.8, 0.0, 1.5], 4000, 30
    generator = torch.Generator().manual_seed(0)
    parts = torch.randn(len(weights), events, items, generator=generator)
    logits = torch.einsum("k,kec->ec", torch.tensor(weights), parts)
    came = torch.multinomial(logits.softmax(1), 1, generator=generator)
    own = came.expand(len(weights), -1, 1)
    differences = (parts - parts.gather(2, own)).scatter(2, own, ABSENT)
    corrections = torch.zeros(events, items).scatter(1, came, -torch.inf)
    found = fit_weights(Candidates(differences, corrections, items, torch.arange(events)))
    assert found.tolist() == pytest.approx(weights, abs=0.06)
    assert (found >= 0).all()


def test_without_events_the_weights_stay_as_they_were():
    nothing = Candidates(torch.zeros(2, 0, 5), torch.zeros(0, 5), 5, torch.zeros(0).long())
    assert torch.equal(fit_weights(nothing), torch.tensor([1.0, 0.0]))
    assert choose_weights(nothing, ["a", "b"]) == ({"a": 1.0, "b": 0.0}, "likelihood", {})


def test_gains_are_those_of_the_rank_and_equals_share_theirs():
    scores = torch.tensor([[ABSENT, -1.0, -2.0], [1.0, -1.0, ABSENT], [0.0, 1.0, -1.0]])
    ranks = [1, 2, 2.5]
    assert gains(scores).tolist() == pytest.approx([1 / math.log2(1 + rank) for rank in ranks])
    assert gains(torch.ones(1, 10)).tolist() == [0.0]


def searched_of(given: Candidates, likely: torch.Tensor, best: int) -> torch.Tensor:
    """The mean of what each fifth of the users is left out of."""
    folds = [
        search_weights(
            given.heads()[:, given.users % 5 != fold], [likely, torch.eye(len(likely))[best]]
        )
        for fold in range(5)
    ]
    return torch.stack(folds).mean(0)


def test_in_doubt_the_mean_of_likeliest_and_searched_weights_is_taken():
    generator = torch.Generator().manual_seed(1)
    given = Candidates(
        torch.randn(2, 300, 20, generator=generator), torch.zeros(300, 20), 20, torch.arange(300)
    )
    weights, chosen, metrics = choose_weights(given, ["a", "b"])
    assert chosen == "mean"
    likely = fit_weights(given)
    best = max(range(2), key=lambda k: metrics[f"{'ab'[k]}/ndcg@10"])
    mean = (likely / likely.sum() + searched_of(given, likely, best)) / 2
    assert [*weights.values()] == pytest.approx((mean * max(likely.sum(), 0.1)).tolist(), rel=1e-5)


def test_searched_weights_are_taken_where_they_are_clearly_ahead():
    # Of two users of three each part puts another item before what came; at shares of 1/5 to 4/5
    # neither is. Those of the third choose what no list of ten would hold, and what the second part
    # says of them is so wrong that it gets no weight by likelihood.
    differences = torch.full((2, 300, 20), -4.0)
    differences[0, :200, 0] = differences[1, :200, 1] = 1.0
    differences[0, 200:], differences[1, 200:] = 0.5, 8.0
    given = Candidates(differences, torch.zeros(300, 20), 20, torch.arange(300))
    weights, chosen, metrics = choose_weights(given, ["right", "helpful"])
    assert chosen == "ndcg"
    assert metrics["weights/likelihood/ndcg@10"] == pytest.approx(2 / 3 / math.log2(3))
    assert metrics["weights/ndcg/ndcg@10"] == pytest.approx(2 / 3)
    assert metrics["right/ndcg@10"] == pytest.approx(2 / 3 / math.log2(3))
    likely = fit_weights(given)
    assert likely[1] == 0
    mean = searched_of(given, likely, 0) * max(likely.sum(), 0.1)
    assert [*weights.values()] == pytest.approx(mean.tolist(), rel=1e-5)


@pytest.mark.parametrize(
    ("events", "helped", "taken"), [(60, 6, True), (60, 30, False), (400, 6, False)]
)
def test_popularity_stays_where_few_events_do_not_clearly_say_otherwise(events, helped, taken):
    """Leads of six against four events, and of thirty: 0.6 and 4.5 standard errors."""
    ranked = torch.zeros(2, events, 40)
    ranked[0, helped:] = 1.0  # what came is last, by both parts
    ranked[0, :helped] = -1.0  # the first part has it first
    ranked[1] = 1.0
    ranked[1, helped : helped + 4] = -1.0  # popularity finds others
    users = torch.arange(events)
    given = Candidates(ranked, torch.zeros(events, 40), 40, users)
    weights, chosen, _ = choose_weights(given, ["part", "Popularity"])
    assert (chosen == "popularity") == taken
    if taken:
        assert weights["part"] == 0
        assert weights["Popularity"] > 0
        assert "popularity alone" in choice_in_words(chosen, {})


ITEMS, USERS, FIRST = 40, 2000, 20


@pytest.fixture(autouse=True)
def few_first(monkeypatch):
    monkeypatch.setattr(rerankers, "FIRST", FIRST)


def events(decides):
    """Batches in which two parts each put an item of their own first, and one of the two comes.

    :param decides: from the two parts' scores of the two items, (B, 2, 2), which of them comes.
    """
    generator = torch.Generator().manual_seed(0)
    for start in range(0, USERS, 100):
        parts = 0.1 * torch.randn(2, 100, ITEMS + 1, generator=generator)
        ahead = 1 + torch.rand(100, ITEMS, generator=generator).topk(2).indices
        high = 3 + 2 * torch.rand(2, 100, generator=generator)
        for part in range(2):
            parts[part].scatter_(1, ahead[:, part, None], high[part, :, None])
        among = torch.stack([parts[part].gather(1, ahead) for part in range(2)], 1)
        target = ahead.gather(1, decides(among)[:, None])[:, 0]
        total = parts.sum(0)
        total[:, 0] = -torch.inf
        users = torch.arange(start, start + 100)
        seen = torch.zeros(100, 1, dtype=torch.int64)
        yield {Key.TARGET: target, Key.SEEN: seen, Key.USER: users}, total, parts


def test_a_new_reranker_repeats_the_blend():
    reranker = Reranker(["a", "b"], repeats=False)
    reranker.direct.data[:, 0] = 1
    batch, total, parts = next(events(lambda among: torch.zeros(100, dtype=torch.int64)))
    again = reranker(total, parts, batch[Key.SEEN])
    assert torch.allclose(again, total, atol=1e-4)


def test_in_a_reranker_only_the_first_items_share_their_probability_anew():
    torch.manual_seed(0)
    reranker = Reranker(["a", "b"], repeats=False)
    for weights in reranker.parameters():
        weights.data = torch.randn_like(weights)
    _, total, parts = next(events(lambda among: torch.zeros(100, dtype=torch.int64)))
    history = total.topk(3).indices
    again = reranker(total, parts, history)
    places = total.scatter(1, history, -torch.inf).topk(FIRST).indices
    looked = torch.zeros_like(total, dtype=torch.bool).scatter(1, places, True)
    assert torch.equal(again[~looked], total[~looked])
    assert not torch.isclose(again[looked], total[looked]).any(-1).all()
    mass, before = (each.gather(1, places).logsumexp(1) for each in (again, total))
    assert torch.allclose(mass, before, atol=1e-4)
    repeated = Reranker(["a", "b"], repeats=True)
    repeated.load_state_dict(reranker.state_dict())
    again = repeated(total, parts, history).gather(1, history)
    assert not torch.equal(again, total.gather(1, history))


@pytest.mark.parametrize(
    ("decides", "taken"),
    [
        # The part that is surer of its own item is right less often than the other one.
        (lambda among: (among[:, 0, 0] > among[:, 1, 1]).long(), True),
        (lambda among: among.sum(1).argmax(1), False),
    ],
)
def test_a_reranker_is_taken_where_more_than_a_sum_ranks_better(decides, taken):
    better, metrics = Reranker(["a", "b"], repeats=False).choose(events(decides), seed=0)
    assert better == taken
    assert metrics["ndcg@10"] > 0.9


def test_few_events_teach_a_reranker_nothing():
    some = list(events(lambda among: torch.zeros(100, dtype=torch.int64)))[:2]
    reranker = Reranker(["a", "b"], repeats=False)
    assert not reranker.choose(some, seed=0)[0]
    assert reranker.choose([], seed=0) == (False, {})
