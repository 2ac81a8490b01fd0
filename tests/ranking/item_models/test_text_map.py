"""Cold items by what their texts foretell."""

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.kernel_ridge import KernelRidge

from lightrec.encoders.base import unit_vectors
from lightrec.ranking.item_models import text_map
from lightrec.ranking.item_models.text_map import TextMap, choose_map

N, V = 12, 4
GENERATOR = torch.Generator().manual_seed(0)
VECTORS = torch.randn(N + 1, V, generator=GENERATOR)
VECTORS[0] = VECTORS[11] = 0  # item 11 has no text
COUNTS = torch.tensor([0, 3, 1, 0, 2, 5, 1, 0, 4, 2, 7, 3, 0])  # items 3, 7 and 12 are cold
SCORES = torch.randn(3, N + 1, generator=GENERATOR)
WARM, COLD = [1, 2, 4, 5, 6, 8, 9, 10], [3, 7, 12]
TEXTS = [
    "A war film (1995)",
    "Love, love in 1995",
    "War and love",
    "a film of love",
    "WAR (1995)",
    "Film noir",
    "1995: the film",
    "war, war, war",
    "A film",
    "love",
    "",
    "nothing that others say",
]


def cosines_of_texts():
    """Of vectors and of words, (N, N) each of the items 1 … N, by other means."""
    # scikit-learn's smoothed idf is ours plus 1; its counts are of the texts it is fitted on.
    kept = TfidfVectorizer(min_df=3, binary=True, smooth_idf=True, norm=None)
    kept.set_params(token_pattern=r"\w+").fit([TEXTS[i - 1] for i in WARM])
    raw = kept.transform(TEXTS).toarray()
    raw = np.where(raw > 0, raw - 1, 0)
    words = raw / np.maximum(np.linalg.norm(raw, axis=1, keepdims=True), 1e-12)
    units = unit_vectors(VECTORS).double().numpy()[1:]
    return units @ units.T, words @ words.T


def regressed(kept, asked, scores):
    """What scikit-learn foretells of items from the scores of others: (B, len(asked))."""
    similar = sum(np.exp(cosines - 1) for cosines in cosines_of_texts())
    kept, asked = np.array(kept) - 1, np.array(asked) - 1
    found = KernelRidge(alpha=0.5, kernel="precomputed").fit(similar[kept][:, kept], scores.T)
    return found.predict(similar[asked][:, kept]).T


def centred(items):
    z = SCORES[:, items].double().numpy()
    return z - z.mean(1, keepdims=True)


def test_cold_items_have_the_scores_that_a_regression_on_texts_foretells():
    found = TextMap(VECTORS, TEXTS, COUNTS, l2=0.5).scores(SCORES)
    expected = regressed(WARM, COLD, centred(WARM))
    np.testing.assert_allclose(found[:, COLD].numpy(), expected, atol=1e-5)
    others = [i for i in range(N + 1) if i not in COLD]
    assert (found[:, others] == -torch.inf).all()


def test_warm_items_as_if_cold_are_foretold_by_all_others():
    mapped = TextMap(VECTORS, TEXTS, COUNTS, l2=0.5)
    found = mapped.predicted(SCORES, None, mapped.query(torch.tensor([*WARM, 3])))
    z = centred(WARM)
    for place, item in enumerate(WARM):
        rest = [i for i in range(len(WARM)) if i != place]
        expected = regressed([WARM[i] for i in rest], [item], z[:, rest])
        np.testing.assert_allclose(found[:, [place]].numpy(), expected, atol=1e-5)
    torch.testing.assert_close(found[:, -1], mapped.scores(SCORES)[:, 3])


@pytest.mark.parametrize(("weights", "count"), [((1, 0, 0), 3), ((0, 1, 0), 8), ((2, 1, 0.5), 8)])
def test_neighbours_by_vectors_and_words_and_the_regression_are_added(weights, count, monkeypatch):
    monkeypatch.setattr(text_map, "NEIGHBOURS", count)
    mapped, items = TextMap(VECTORS, TEXTS, COUNTS, 0.5, weights), [*COLD, 1]
    found = mapped.predicted(SCORES, None, mapped.query(torch.tensor(items))).numpy()
    shares = SCORES[:, WARM].softmax(1).double().numpy()
    expected = np.zeros((3, 4))
    for weight, cosines in zip(weights, cosines_of_texts(), strict=False):
        for column, item in enumerate(items):
            near = cosines[item - 1, np.array(WARM) - 1].clip(0) * (np.array(WARM) != item)
            loud = np.where(near >= np.sort(near)[-count], near**4, 0)
            # Item 12 shares no word with any other.
            loud = loud / loud.sum() if loud.sum() else np.full(len(WARM), 1 / len(WARM))
            expected[:, column] += weight * np.log(shares @ loud + 0.1 / N)
    alone = TextMap(VECTORS, TEXTS, COUNTS, 0.5)
    expected += weights[2] * alone.predicted(SCORES, None, alone.query(torch.tensor(items))).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    monkeypatch.setattr(text_map, "BLOCK", 8)  # an item at once
    blocked = TextMap(VECTORS, TEXTS, COUNTS, 0.5, weights).scores(SCORES)[:, COLD].numpy()
    np.testing.assert_allclose(blocked, expected[:, :3], atol=1e-5)


def test_texts_of_the_history_count_by_how_recent_they_are():
    mapped = TextMap(VECTORS, TEXTS, COUNTS, 0.5, (0, 0, 0, 2))
    found = mapped.scores(SCORES[:2], torch.tensor([[0, 4, 8], [0, 0, 11]]))[:, COLD].numpy()
    near = cosines_of_texts()[0].clip(0) ** 2
    warm, cold = np.array(WARM) - 1, np.array(COLD) - 1
    usual = 0.8 * near[3, warm].mean() + near[7, warm].mean()
    expected = 2 * np.log((0.8 * near[3, cold] + near[7, cold]) / usual + 0.1)
    np.testing.assert_allclose(found[0], expected, atol=1e-5)
    np.testing.assert_allclose(found[1], 2 * np.log(0.1), atol=1e-5, err_msg="11 has no text")


def test_what_is_usual_is_measured_on_a_sample(monkeypatch):
    vectors = torch.nn.functional.pad(torch.randn(800, 4, generator=GENERATOR), (0, 0, 1, 0))
    mapped = TextMap(vectors, [""] * 800, torch.ones(801).long(), 1.0)
    exact = (mapped._units @ mapped._units[1:].T).clamp_min(0).square().mean(1)
    torch.testing.assert_close(mapped._usual, exact)
    monkeypatch.setattr(text_map, "USUAL", 400)
    del mapped._usual
    assert ((mapped._usual[1:] / exact[1:]).log().abs() < 0.25).all()


def test_in_doubt_all_speak_and_what_misleads_about_warm_items_as_if_they_were_cold_is_left_out():
    kind = torch.arange(240) % 12
    events = torch.arange(1, 241)
    # Each history is after items of one kind, and has not learned of the one that comes.
    scores = 4.0 * (kind == kind[:, None]).float() - 4.0 * torch.eye(240)
    none = torch.zeros(240, 1).long()
    judged = [(torch.nn.functional.pad(scores, (1, 0)), events, none, none)]
    other, mute = kind.sort().values, ["item"] * 240
    told, wrong = ([f"kind{k} item" for k in kinds.tolist()] for kinds in (kind, other))
    clear, misled = (torch.nn.functional.one_hot(kinds).float() for kinds in (kind, other))
    counts = torch.ones(241).long()

    def chosen(vectors, texts):
        padded = torch.nn.functional.pad(vectors, (0, 0, 1, 0))
        weights = choose_map(padded, texts, counts, judged, 0)[1]
        mapped = TextMap(padded, texts, counts, 1.0, weights)
        found = mapped.predicted(judged[0][0], none, mapped.query(events))
        own = (kind == kind[:, None]) & ~torch.eye(240, dtype=torch.bool)
        return weights, bool(found[own].min() > found[kind != kind[:, None]].max())

    assert chosen(clear, mute) == chosen(clear, told) == (text_map.WEIGHTS[0], True)
    assert chosen(clear, wrong)[0][1] == 0
    assert chosen(misled, told)[0][0] == 0
