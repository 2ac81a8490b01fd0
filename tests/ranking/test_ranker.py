"""A ranker: its scores, what it reads, which items it finds alike, and its losses against loops."""

import json
import math
from statistics import fmean

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional

from lightrec.errors import RunError
from lightrec.keys import Key
from lightrec.ranking import losses
from lightrec.ranking.losses import SampledSoftmaxLoss, SoftmaxLoss, draw_negatives, proposal
from lightrec.ranking.ranker import WORDS, Ranker, likeness


def ranker(**settings):
    torch.manual_seed(0)
    given = {"num_items": 9, "vector_size": 5, "size": 8, "max_length": 4} | settings
    model = Ranker(**given).eval()
    if model.items.uses_text:
        vectors = torch.randn(model.num_items + 1, 5)
        vectors[0] = 0
        model.items.set_vectors(vectors)
        torch.nn.init.normal_(model.items.project.weight)
    torch.nn.init.normal_(model.bias)
    return model


HISTORY = torch.tensor([[0, 0, 0, 3, 9], [1, 2, 3, 4, 5]])


def test_score_is_user_times_item_plus_bias():
    model = ranker()
    scores = model.scores(HISTORY)
    users, items = model.user_vectors(HISTORY), model.item_vectors()
    assert scores.shape == (2, 10)
    assert users.shape == (2, 8)
    assert items.shape == (10, 8)
    assert (scores[:, 0] == -torch.inf).all()
    expected = users[1] @ items[7] + model.bias[7]
    assert scores[1, 7].item() == pytest.approx(expected.item(), abs=1e-5)
    assert torch.allclose(scores[:, 1:], model.scores(HISTORY, items=items)[:, 1:])
    # Padding and what is too old do not matter.
    assert torch.allclose(users[:1], model.user_vectors(torch.tensor([[3, 9]])), atol=1e-5)
    assert torch.allclose(users[1:], model.user_vectors(HISTORY[1:, 1:]), atol=1e-6)


def test_items_need_something():
    with pytest.raises(ValueError, match="use_ids"):
        Ranker(5, 0, size=8, use_ids=False)
    with pytest.raises(ValueError, match="do not fit"):
        ranker().items.set_vectors(torch.zeros(3, 5))


def test_an_earlier_ranker_is_loaded_unless_it_read_words(tmp_path):
    model, config, weights = ranker(), tmp_path / "config.json", tmp_path / "model.safetensors"
    model.save_pretrained(tmp_path)
    noted = json.loads(config.read_text())
    config.write_text(json.dumps(noted | {"reading": [0] * 4, "reader": None}))
    assert torch.equal(Ranker.load(tmp_path).scores(HISTORY), model.scores(HISTORY))

    reader, tower = (
        {"class_path": f"lightrec_news.reading.{name}"}
        for name in ("SelfAttentionReader", "AdditiveAttention")
    )
    noted |= {"reading": [1, 3, 7, 8], "reader": reader}
    save_file(load_file(weights) | {"items.words": torch.zeros(7, 8)}, weights)
    for more, sentence in (
        ({}, r"items\.words belong to no part of it.* make its stage again"),
        ({"use_ids": False, "vector_size": 0}, "Items need an id .* make its stage again"),
        ({"tower": tower}, r"A file names the class lightrec_news\.reading\.AdditiveAttention"),
    ):
        config.write_text(json.dumps(noted | more))
        with pytest.raises(RunError, match=sentence):
            Ranker.load(tmp_path)


FEEDBACK = torch.tensor([[0, 0, 0, 1, 3], [2, 1, 3, 3, 2]])
GAPS = torch.tensor([[0, 0, 0, 0, 6], [5, 4, 1, 2, 6]])


def detailed(**settings):
    model = ranker(feedback_kinds=3, gaps=6, **settings)
    with torch.no_grad():
        for table in (model.feedback, model.gaps):
            table[1:] = torch.randn(table[1:].shape)
    return model


def known(feedback, gaps):
    return {Key.FEEDBACK: feedback, Key.GAP: gaps}


def test_what_is_not_known_adds_nothing():
    plain, fresh, model = ranker(), ranker(feedback_kinds=3, gaps=6), detailed()
    nothing = torch.zeros_like(HISTORY)
    expected = plain.scores(HISTORY)
    # Tables start at zero, and draw nothing.
    assert torch.equal(fresh.scores(HISTORY, details=known(FEEDBACK, GAPS)), expected)
    assert torch.equal(model.scores(HISTORY), expected)
    assert torch.equal(model.scores(HISTORY, details=known(nothing, nothing)), expected)
    # A ranker without tables has no use for them.
    assert torch.equal(plain.scores(HISTORY, details=known(FEEDBACK, GAPS)), expected)
    for given in ({Key.FEEDBACK: FEEDBACK}, {Key.GAP: GAPS}):
        assert not torch.allclose(model.scores(HISTORY, details=given), expected)


def test_details_are_read_from_their_event_on():
    model = detailed(max_length=5)
    states = model.states(HISTORY, known(FEEDBACK, GAPS))[1]
    for place in range(5):
        for index in (0, 1):
            tables = [FEEDBACK.clone(), GAPS.clone()]
            tables[index][1, place] = 1 + tables[index][1, place] % 3
            found = model.states(HISTORY, known(*tables))[1]
            assert torch.allclose(found[:place], states[:place], atol=1e-6)
            assert not torch.allclose(found[place], states[place], atol=1e-4)


COUNTS = torch.tensor([0, 5, 3, 0, 2, 4])


def cosines(table, rows, item):
    centred = table - table[rows].mean(0)
    units = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    return units @ units[item]


def test_likeness_is_that_of_vectors_and_of_half_the_texts():
    model = ranker(num_items=5)
    own = cosines(model.item_vectors().detach().numpy(), [1, 2, 4, 5], 2)
    texts = cosines(model.items.vectors.numpy(), [1, 2, 3, 4, 5], 2)
    found = likeness(model, COUNTS, 2).numpy()
    expected = (own + WORDS * texts) / (1 + WORDS)
    np.testing.assert_allclose(found[[1, 4, 5]], expected[[1, 4, 5]], atol=1e-5)
    assert found[3] == pytest.approx(texts[3], abs=1e-5), "without events, by its text alone"
    assert (found[[0, 2]] == -np.inf).all()
    words = likeness(model, COUNTS, 2, "words").numpy()
    np.testing.assert_allclose(words[[1, 3, 4, 5]], texts[[1, 3, 4, 5]], atol=1e-5)
    of_new = cosines(model.items.vectors.numpy(), [1, 2, 3, 4, 5], 3)
    found = likeness(model, COUNTS, 3).numpy()
    np.testing.assert_allclose(found[[1, 2, 4, 5]], of_new[[1, 2, 4, 5]], atol=1e-5)


def test_without_texts_events_alone_tell():
    plain = Ranker(5, size=8).eval()
    found = likeness(plain, COUNTS, 2)
    assert (found[[1, 4, 5]] > -1).all()
    assert found[3] == -torch.inf, "nothing is known of it"
    with pytest.raises(RunError, match="Words are asked for, and the ranker reads no texts"):
        likeness(plain, COUNTS, 2, "words")
    with pytest.raises(RunError, match="has no events"):
        likeness(plain, COUNTS, 3)


N, D = 9, 4


class Case:
    """Six predictions over nine items; rows 0 and 3 have the same target, row 5 has seen all."""

    def __init__(self, dtype=torch.float64):
        torch.manual_seed(0)
        self.ranker = Ranker(N, size=D).to(dtype)
        for parameter in self.ranker.parameters():
            torch.nn.init.normal_(parameter)
        self.target = torch.tensor([2, 5, 7, 2, 1, 4])
        self.table = torch.zeros(6, 8, dtype=torch.int64)
        self.table[0, :2], self.table[1, :3] = torch.tensor([1, 3]), torch.tensor([5, 5, 8])
        self.table[3, 5], self.table[5] = 7, torch.tensor([1, 2, 3, 5, 6, 7, 8, 9])
        self.states = torch.randn(6, D, dtype=dtype, requires_grad=True)

    @property
    def scores(self):
        """(row, item), item 0 unused."""
        return self.states @ self.ranker.item_vectors().T + self.ranker.bias

    def taken(self, row):
        """Items that are no negatives of a row."""
        return {0, int(self.target[row]), *self.table[row].tolist()}

    def loss(self, loss):
        return loss(self.ranker, self.states, self.target, self.table.__getitem__)


POPULARITY = torch.tensor([0.0, 4, 1, 1, 3, 0, 9, 2, 2, 8])


@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("elements", [1, 30, 1 << 22])
def test_full_softmax_is_cross_entropy(monkeypatch, dtype, close, elements):
    monkeypatch.setattr(losses, "LOGITS", elements)
    monkeypatch.setattr(losses, "ROWS", 1)
    case, other = Case(dtype), Case(dtype)
    loss = case.loss(SoftmaxLoss())
    loss.backward()

    logits = other.scores
    left_out = torch.zeros_like(logits, dtype=torch.bool)
    for row in range(6):
        left_out[row, [i for i in other.taken(row) if i != other.target[row]]] = True
    expected = functional.cross_entropy(logits.masked_fill(left_out, -torch.inf), other.target)
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), abs=close)
    both = ((each.states, each.ranker.items.ids, each.ranker.bias) for each in (case, other))
    for found, wanted in zip(*both, strict=True):
        assert torch.allclose(found.grad, wanted.grad, atol=close)


def test_sampled_softmax_by_hand(monkeypatch):
    case, loss = Case(), SampledSoftmaxLoss(7, power=1.0)
    loss.prepare(POPULARITY)
    drawn = torch.tensor([2, 3, 6, 9])
    monkeypatch.setattr(
        losses, "draw_negatives", lambda p, k: (drawn, -(1 - (1 - p[drawn]) ** k).log())
    )
    total = sum(POPULARITY.tolist()) + N
    rows = []
    for row, scores in enumerate(case.scores.tolist()):
        own, mass = scores[case.target[row]], 0.0
        for item in drawn.tolist():
            if item not in case.taken(row):
                chance = (float(POPULARITY[item]) + 1) / total
                mass += math.exp(scores[item]) / (1 - (1 - chance) ** 7)
        rows.append(math.log(math.exp(own) + mass) - own)
    assert case.loss(loss).item() == pytest.approx(fmean(rows), rel=1e-6)


def test_negatives_by_the_thousand_equal_the_full_softmax():
    case, loss = Case(), SampledSoftmaxLoss(100_000)
    loss.prepare(POPULARITY)
    assert case.loss(loss).item() == pytest.approx(case.loss(SoftmaxLoss()).item(), rel=1e-5)


def test_proposal_is_flattened_popularity():
    counts = torch.tensor([5.0, 15.0, 0.0, 80.0])
    assert proposal(counts, 1).tolist() == pytest.approx([0, 16 / 98, 1 / 98, 81 / 98])
    assert proposal(counts, 0).tolist() == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3])


def test_corrected_sample_estimates_the_partition_without_bias():
    torch.manual_seed(0)
    logits = torch.randn(51)
    chances = proposal(torch.randint(0, 100, (51,)).float())
    draws = []
    for _ in range(4000):
        items, correction = draw_negatives(chances, 20)
        assert 0 not in items
        draws.append((logits[items] + correction).exp().sum())
    draws = torch.stack(draws)
    error = draws.std() / len(draws) ** 0.5
    assert abs(draws.mean() - logits[1:].exp().sum()) < 4 * error
    assert error < 0.02 * draws.mean()
