"""Each item model against its definition, computed in plain loops or by another library."""

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.kernel_ridge import KernelRidge

from lightrec.api import Key, NotApplicable
from lightrec.data.sequences import Sequences
from lightrec.encoders.base import unit_vectors
from lightrec.encoders.words import word_weights
from lightrec.ranking.item_models import item_to_item, text_map, text_ridge
from lightrec.ranking.item_models.affinity import AttributeAffinity
from lightrec.ranking.item_models.als import ALS
from lightrec.ranking.item_models.base import Evidence, Popularity, RecentPopularity
from lightrec.ranking.item_models.demographic import SMOOTHING, Demographic
from lightrec.ranking.item_models.item_to_item import (
    EASE,
    DirectionalCooccurrence,
    ItemKNN,
    NextItemRidge,
    TextNeighbours,
    WordNeighbours,
    users_by_items,
)
from lightrec.ranking.item_models.repeats import RepeatConsumption
from lightrec.ranking.item_models.series import NextInSeries
from lightrec.ranking.item_models.text_map import TextMap, choose_map
from lightrec.ranking.item_models.text_ridge import TextRidge
from tests.shops import BRANDS, PATHS, Shop

N = 6
USERS = [[1, 2, 3, 4], [2, 3, 1], [5, 1, 2, 6, 3], [4, 3], [6, 5, 4, 1]]
DAY = 86_400_000


def evidence(
    users=USERS, num_items=N, vectors=None, has_times=True, is_ordered=True, texts=()
) -> Evidence:
    items = np.array([item for user in users for item in user], np.int32)
    offsets = np.cumsum([0, *map(len, users)])
    times = np.arange(len(items), dtype=np.int64) * DAY
    log = Sequences(items, np.zeros(len(items), np.int8), offsets, times, has_times=has_times)
    vectors = torch.zeros(num_items + 1, 0) if vectors is None else vectors
    return Evidence(log, num_items, vectors, is_ordered, texts=texts)


def incidence() -> np.ndarray:
    table = np.zeros((len(USERS), N))
    for row, user in enumerate(USERS):
        table[row, np.array(user) - 1] = 1
    return table


def matrix(model) -> np.ndarray:
    assert not model.matrix[0].any()
    assert not model.matrix[:, 0].any()
    return model.matrix[1:, 1:].double().numpy()


def test_recent_popularity_halves():
    users = [[1, 2], [1, 3]]
    model = RecentPopularity(half_life=1 / 3).fit(evidence(users, 3))
    assert model.scores(torch.zeros(1, 1, dtype=torch.int64))[0].tolist() == pytest.approx(
        [0, 1 / 8 + 1 / 2, 1 / 4, 1]
    )
    assert Popularity().fit(evidence(users, 3)).counts.tolist() == [0, 2, 1, 1]


def test_ease_is_a_ridge_regression_of_each_item_on_the_others():
    table, l2 = incidence(), 3.0
    expected = np.zeros((N, N))
    for item in range(N):
        others = [i for i in range(N) if i != item]
        x = table[:, others]
        expected[others, item] = np.linalg.solve(x.T @ x + l2 * np.eye(N - 1), x.T @ table[:, item])
    np.testing.assert_allclose(matrix(EASE(l2, 1.0).fit(evidence())), expected, atol=1e-6)
    # Without an order nothing is recent.
    assert EASE().values(evidence(is_ordered=False))["decay"] == [1.0]


def test_next_item_ridge_is_a_regression_on_decayed_histories():
    decay, l2, rows, targets = 0.7, 2.0, [], []
    for user in USERS:
        for end in range(1, len(user)):
            row = np.zeros(N)
            for age, item in enumerate(reversed(user[:end])):
                row[item - 1] += decay**age
            rows.append(row)
            targets.append(np.eye(N)[user[end] - 1])
    x = np.vstack([*rows, math.sqrt(l2) * np.eye(N)])
    y = np.vstack([*targets, np.zeros((N, N))])
    expected = np.linalg.lstsq(x, y, rcond=None)[0]
    found = matrix(NextItemRidge(l2, decay).fit(evidence()))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    kept, large = [0, 1, 2, 3], NextItemRidge(l2, decay).fit(replace(evidence(), most=4))
    part = np.linalg.lstsq(
        np.vstack([x[:-N, kept], math.sqrt(l2) * np.eye(4)]),
        np.vstack([y[:-N, kept], np.zeros((4, 4))]),
        rcond=None,
    )[0]
    np.testing.assert_allclose(large.scores(torch.tensor([[2], [5]]))[0, 1:5], part[1], atol=1e-6)
    assert not large.scores(torch.tensor([[5]])).any()


def test_item_knn_is_a_shrunk_cosine():
    table, shrinkage = incidence(), 2.0
    norms = np.linalg.norm(table, axis=0)
    expected = table.T @ table / (np.outer(norms, norms) + shrinkage)
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(matrix(ItemKNN(shrinkage, 1.0).fit(evidence())), expected, atol=1e-6)


def test_cooccurrence_has_a_direction():
    model = DirectionalCooccurrence(decay=0.5, reach=2, power=1.0, power_after=0.5)
    found = matrix(model.fit(evidence([[1, 2, 3], [1, 3]], 3)))
    # 1 before 2 once; 1 before 3 once at two steps and once at one; 2 before 3 once.
    root = math.sqrt(2)
    expected = [[0, 1 / 2, 1.5 / 2 / root], [0, 0, 1 / root], [0, 0, 0]]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_text_neighbours_are_near_in_their_centred_vectors():
    vectors = torch.tensor([[0.0, 0], [2, 0], [1, 0], [0, 3], [0, 0]])
    found = matrix(TextNeighbours(power=3.0, decay=1.0).fit(evidence(num_items=4, vectors=vectors)))
    centred = vectors[1:4].numpy() - vectors[1:4].numpy().mean(0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    expected = np.zeros((4, 4))
    expected[:3, :3] = np.clip(unit @ unit.T, 0, None) ** 3
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_word_neighbours_are_near_in_their_words():
    texts = ["blue nail polish", "blue hair mask", "nail file", "blue mask, nail file"]
    found = matrix(WordNeighbours(1.0, 1.0).fit(evidence([[1, 2, 3, 4]], 4, texts=texts)))
    # Of the words that three items have, all weigh alike; the others say nothing.
    root = 2**-0.5
    expected = [[0, root, root, 1], [root, 0, 0, root], [root, 0, 0, root], [1, root, root, 0]]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_als_folds_a_history_in_as_implicit_does():
    from implicit.cpu.als import AlternatingLeastSquares
    from scipy.sparse import csr_matrix

    model = ALS(factors=4, l2=0.5, alpha=3.0, iterations=10).fit(evidence())
    theirs = AlternatingLeastSquares(
        factors=4, regularization=0.5, alpha=1.0, iterations=10, random_state=0, num_threads=1
    )
    table = csr_matrix(users_by_items(evidence().log, N) * 4.0)
    theirs.fit(table, show_progress=False)
    expected = theirs.recalculate_user(0, table[0]) @ theirs.item_factors.T
    history = torch.tensor([[0, 4, 1, 2, 3, 3]])
    np.testing.assert_allclose(model.scores(history)[0, 1:].numpy(), expected, rtol=1e-3, atol=1e-4)


def test_history_adds_up_recent_items_louder():
    model = EASE(3.0, 0.5).fit(evidence())
    weights = model.matrix
    history = torch.tensor([[0, 0, 2, 5], [1, 1, 3, 4]])
    expected = [
        0.5 * weights[2] + weights[5],
        0.125 * weights[1] + 0.25 * weights[1] + 0.5 * weights[3] + weights[4],
    ]
    torch.testing.assert_close(model.scores(history), torch.stack(expected))
    assert not model.scores(torch.zeros(1, 3, dtype=torch.int64)).any()


@pytest.mark.parametrize(
    "model",
    [
        EASE(3.0, 0.8),
        NextItemRidge(2.0, 0.8),
        ItemKNN(2.0, 0.8),
        DirectionalCooccurrence(0.8, power_after=0.25),
        TextNeighbours(1.0, 0.8),
        TextNeighbours(3.0, 0.8),
    ],
)
def test_large_catalogs_keep_neighbours_that_score_alike(model, monkeypatch):
    vectors = torch.randn(N + 1, 3, generator=torch.Generator().manual_seed(0))
    vectors[0] = 0
    whole = model.fit(evidence(vectors=vectors))
    history = torch.tensor([[0, 0, 2, 5], [1, 6, 3, 4]])
    expected, table = whole.scores(history), matrix(whole)
    monkeypatch.setattr(item_to_item, "DENSE", 1)
    monkeypatch.setattr(item_to_item, "SORTED", 4)
    monkeypatch.setattr(item_to_item, "SOLVED", 4)
    monkeypatch.setattr(item_to_item, "ROWS", 1)
    large = type(model)(**model.settings).fit(evidence(vectors=vectors))
    assert large.matrix is None
    torch.testing.assert_close(large.scores(history), expected)
    monkeypatch.setattr(item_to_item, "KEPT", 2)
    few = type(model)(**model.settings).fit(evidence(vectors=vectors))
    assert few.weights.shape == (N + 1, 2)
    heaviest = -np.sort(-table, axis=1)[:, :2]
    np.testing.assert_allclose(few.weights[1:].numpy(), heaviest, atol=1e-6)


READERS = [[1, 2, 3, 4], [2, 3, 1, 2], [5, 1, 2, 5, 3], [4, 3], [1]]
TITLES = ["red tea", "red lamp", "tea lamp", "a red rope", "rope lamp", "red red tea", "rope"]
"""Items 6 and 7 have no events."""


def test_text_ridge_is_least_squares_from_what_came_next(monkeypatch):
    vectors = torch.randn(len(TITLES) + 1, 3, generator=torch.Generator().manual_seed(0))
    vectors[0] = 0
    given, l2, decay = evidence(READERS, len(TITLES), vectors=vectors, texts=TITLES), 3.0, 0.8
    words = word_weights(TITLES, np.arange(1, 6)).toarray()
    features = np.hstack([unit_vectors(vectors).numpy(), words]).astype(np.float64)
    counts, width = given.counts().double().numpy(), features.shape[1]
    gram, cross = l2 * np.eye(width), np.zeros((width, width))
    for user in READERS:
        for place in range(1, len(user)):
            loud = np.zeros(len(TITLES) + 1)
            for age, item in enumerate(reversed(user[:place])):
                loud[item] += decay**age
            read, target = (loud / np.linalg.norm(loud)) @ features, user[place]
            worth = counts[target] ** -text_ridge.POWER
            gram += worth * np.outer(read, read)
            cross += worth * np.outer(read, features[target])
    warm = features[counts > 0]
    own = warm.T @ warm + l2 / 10 * np.eye(width)
    inner = np.linalg.solve(gram, cross) @ np.linalg.inv(own)
    histories = torch.tensor([[0, 2, 5], [7, 3, 3], [0, 0, 0]])
    loud = np.array([0.64, 0.8, 1.0])
    sought = np.stack([loud @ features[row] for row in histories.numpy()])
    model = TextRidge(3.0).fit(given)
    np.testing.assert_allclose(model.scores(histories), sought @ inner @ features.T, atol=1e-4)
    # In pieces the same, and from the features of a large catalog, new items and all.
    monkeypatch.setattr(text_ridge, "PART", 3)
    torch.testing.assert_close(TextRidge(3.0).fit(given).matrix, model.matrix)
    monkeypatch.setattr(text_ridge, "DENSE", 1)
    large = TextRidge(3.0).fit(given)
    assert large.matrix is None
    torch.testing.assert_close(large.scores(histories), model.scores(histories))


PEOPLE = torch.tensor([[1.0, 0], [0, 1], [1, 1], [-1, 0.5], [0, -2]])
NOTHING = torch.zeros(1, 1, dtype=torch.int64)


def test_weights_of_people_alike_are_one_step_of_newtons_method():
    model = Demographic(l2=2.0, first=2).fit(replace(evidence(), people=PEOPLE))
    events = [(user, item) for user, own in enumerate(USERS) for item in own[:2]]
    share = np.full(N, SMOOTHING)
    for _, item in events:
        share[item - 1] += 1
    share /= share.sum()
    people = PEOPLE.double().numpy()
    people = people - np.mean([people[user] for user, _ in events], axis=0)
    size = sum(np.outer(people[user], people[user]) for user, _ in events)
    expected = np.zeros((2, N))
    for i in range(N):
        pull = sum(people[user] * ((item == i + 1) - share[i]) for user, item in events)
        expected[:, i] = np.linalg.solve(share[i] * size + 2.0 * np.eye(2), pull)
    np.testing.assert_allclose(model.weights[:, 1:], expected, atol=1e-6)
    logits = np.log(share) + people[3] @ expected
    law = np.exp(logits) / np.exp(logits).sum()
    user = model.scores(NOTHING, torch.tensor([3]))[0]
    np.testing.assert_allclose(user[1:], law, atol=1e-6)
    stranger = model.scores(NOTHING, details={Key.PROFILE: PEOPLE[3:4]})[0]
    assert torch.allclose(user, stranger)
    assert user[0] == 0
    np.testing.assert_allclose(model.scores(NOTHING)[0, 1:], share, atol=1e-6)


def test_settings_are_chosen_by_newcomers_and_attributes_that_tell_nothing_are_refused():
    chance = np.random.default_rng(0)
    side = chance.integers(0, 2, 200)
    told = torch.from_numpy(np.stack([side, 1 - side], 1)).float()
    # Each side has its own three items to begin with; later all have the same.
    users = [[*(chance.permutation(3) + 1 + 3 * s), 7, 8] for s in side]
    model = Demographic()
    found = model.fit(replace(evidence(users, 8), people=told))
    assert found.l2 == min(Demographic.PRECISIONS)
    law = found.scores(NOTHING.expand(2, 1), details={Key.PROFILE: torch.eye(2)})
    assert set(law[0].topk(5).indices.tolist()) == {4, 5, 6, 7, 8}
    assert set(law[1].topk(5).indices.tolist()) == {1, 2, 3, 7, 8}
    noise = torch.from_numpy(chance.normal(size=(200, 4))).float()
    with pytest.raises(NotApplicable, match="do not tell what newcomers choose"):
        Demographic().fit(replace(evidence(users, 8), people=noise))


def test_what_is_due_comes_before_what_is_not_and_before_what_came_once():
    # Item 1 every week, item 2 every fourth week, others at random and once.
    generator, times, events = np.random.default_rng(0), [], [[] for _ in range(60)]
    for own in events:
        for week in range(12):
            basket = [1, *([2] if week % 4 == 0 else []), *generator.integers(3, 400, 2)]
            own += basket
            times += [week * 7 * DAY + minute * 60_000 for minute in range(len(basket))]
    weekly = evidence(events, 399)
    weekly = replace(weekly, log=replace(weekly.log, times=np.array(times)))
    model = RepeatConsumption().fit(weekly)
    # Four visits, the last one four weeks after item 2 came first: it is due, with item 1.
    history = [1, 2, 3, 4, 1, 5, 6, 1, 7, 8, 1, 9, 10]
    gap = [0, 1, 1, 1, 15, 1, 1, 15, 1, 1, 15, 1, 1]
    details = {"gap": torch.tensor([gap]), "feedback": torch.zeros(1, 13, dtype=torch.int64)}
    scores = model.scores(torch.tensor([history]), details=details)[0]
    assert scores.argmax() == 1
    assert scores[1] > 3 * scores[3:11].max()
    # All that is not in the history shares what is left; what has just been had comes after it.
    assert scores[11:].unique().numel() == 1
    assert 0 < scores[11] < scores[2]


def test_probabilities_of_repeats_by_kind_are_those_of_the_log():
    """Of ten that are put into the basket six are bought next; of what is viewed, none is."""
    users = [
        [60 + user % 7, 1 + user % 50, 1 + user % 50 if user % 10 < 6 else 80 + user % 30]
        for user in range(400)
    ]
    found, worth = evidence(users, 109), np.array([0, 0.1, 0.3, 1], np.float32)
    log = replace(found.log, feedback=np.tile([1, 2, 3], 400).astype(np.int8))
    model = RepeatConsumption().fit(replace(found, log=log, worth=worth))
    details = {"feedback": torch.tensor([[1, 2]])}
    scores = model.scores(torch.tensor([[60, 7]]), details=details)[0]
    assert scores[7] == pytest.approx(0.6, abs=0.02)
    assert scores[60] < 0.02


def series(*titles: str | None):
    users = [[*range(1, len(titles) + 1)]]
    return replace(evidence(users, len(titles)), items=pl.DataFrame({"title": titles}))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Tales 1", "Tales 2"),
        ("Tales", "Tales 2"),
        ("Tales, Vol. 9", "Tales, vol. 10"),
        ("Tales 1: The Beginning", "Tales 2 - Home"),
        ("Tales (Book 3)", "Tales #4"),
        ("1984 Teil 1", "1984 Teil 2 (paperback)"),
    ],
)
def test_numbered_titles_follow_each_other(first, second):
    model = NextInSeries(0.5).fit(series(second, "Tale 2", None, first, "Salt 500", "Heat 2000"))
    assert model.following.tolist() == [0, 0, 0, 0, 1, 0, 0]


def test_the_next_volume_scores_by_its_age_unless_it_was_had():
    model = NextInSeries(0.5).fit(series("Tales 1", "Tales 2", "Tales 3", "Iron 7", "Iron 8"))
    scores = model.scores(torch.tensor([[0, 4, 1, 2], [2, 1, 5, 4]]))
    assert scores.tolist() == [[0, 0, 0, 1.0, 0, 0.25], [0, 0, 0, 0.125, 0, 0]]


ONCE = evidence(np.arange(1, 301).reshape(3, 100), 300)
ALIKE = replace(evidence(), items=pl.DataFrame({"a": ["x"] * 6}), kinds={"a": "category"})


@pytest.mark.parametrize(
    ("model", "given", "why"),
    [
        (RecentPopularity(), evidence(has_times=False), "nothing is recent"),
        (NextItemRidge(), evidence(is_ordered=False), "no order"),
        (DirectionalCooccurrence(), evidence(is_ordered=False), "no order"),
        (TextRidge(), evidence(is_ordered=False), "no order"),
        (TextRidge(), evidence(), "no texts"),
        (TextNeighbours(), evidence(), "no texts"),
        (WordNeighbours(), evidence(), "no words in common"),
        (Demographic(), evidence(), "no attributes"),
        (AttributeAffinity(), evidence(), "no attributes with several values"),
        (AttributeAffinity(), ALIKE, "no attributes with several values"),
        (RepeatConsumption(), ONCE, "the prepared log has 0"),
        (NextInSeries(), series("A 1", "A 3"), "No series has two items"),
        (NextInSeries(), series("A", "B"), "No series has two items"),
        (NextInSeries(), series(None, "A 2"), "No series has two items"),
    ],
)
def test_a_model_does_not_apply_to_a_log_that_lacks_what_it_reads(model, given, why):
    with pytest.raises(NotApplicable, match=why):
        model.fit(given)


TABLE = pl.DataFrame(
    {
        "category": ["Books > Crime", "Books > Crime", "Books > Poetry", "Books", "Toys", None],
        "tags": [["a", "b"], ["a"], ["b"], [], ["c", "a"], ["c"]],
        "price": [1.0, 2.0, 2.5, 3.0, None, 5.0],
    }
)
ATTRIBUTES = {"category": "category", "tags": "list", "price": "number"}
BUYERS = [[1, 2, 3, 1], [2, 1, 4], [5, 6, 5], [3, 4, 2], [6, 5], [1, 2], [3, 3, 4], [5, 6, 6]]


def of_a_shop(shop: Shop):
    numbers = range(shop.items)
    table = {
        "category": [PATHS[shop.category[i]] for i in numbers],
        "brand": [BRANDS[shop.brand[i]] for i in numbers],
        "price": shop.price,
    }
    users = [[item + 1 for item in own] for own in shop.orders]
    kinds = {"category": "category", "brand": "category", "price": "number"}
    given = evidence(users, shop.items)
    return replace(given, items=pl.DataFrame(table), kinds=kinds)


def lists_of(shop: Shop, model) -> dict[str, list[str]]:
    """The best ten items that each customer has not ordered."""
    found = {}
    for customer, own in enumerate(shop.orders):
        history = torch.tensor([[item + 1 for item in own] or [0]])
        scores = model.scores(history)[0].scatter(0, history[0], -1)
        best = scores[1:].topk(10).indices
        found[f"c{customer}"] = [f"i{item}" for item in best.tolist()]
    return found


def test_ratios_of_attributes_are_smoothed_shares_over_usual_ones():
    given = replace(evidence(BUYERS, 6), items=TABLE, kinds=ATTRIBUTES)
    model = AttributeAffinity(decay=0.5).fit(given)
    p = model.level.exp().double().numpy()[1:]
    history, ages = [2, 3, 6, 1], [0.125, 0.25, 0.5, 1.0]
    got = [ratio[0, 1:].exp() for ratio in model.ratios(torch.tensor([[0, *history]]))]

    def members(name: str, item: int) -> list[str]:
        value = TABLE[name][item - 1]
        return [value] if isinstance(value, str) else [] if value is None else list(value)

    def holds(name: str, item: int, value: str) -> float:
        """How much of an item a value is, with all below it."""
        own = members(name, item)
        return sum(m.startswith(value) for m in own) / len(own) if own else 0.0

    def total(name: str, value: str, weights: dict[int, float]) -> float:
        return sum(weight * holds(name, item, value) for item, weight in weights.items())

    own, usual = dict(zip(history, ages, strict=True)), dict(enumerate(p, 1))
    for place, name in enumerate(("category", "tags")):
        kappa = float(model.shrinkage[int(model.members[place].max())])
        for item in range(1, 7):
            ratios = []
            for member in members(name, item):
                ratio, above = 1.0, ""
                for step in [member.split(" > ")[0], member][: 1 + member.count(" > ")]:
                    q = total(name, step, usual) / total(name, above, usual)
                    ratio *= (total(name, step, own) + kappa * q) / q
                    ratio /= total(name, above, own) + kappa
                    above = step
                ratios.append(ratio)
            expected = np.mean(ratios) if ratios else 1.0
            assert float(got[place][item - 1]) == pytest.approx(expected, rel=1e-4), (name, item)
    known = np.array([0, 1, 2, 3, 5])
    price = TABLE["price"].to_numpy()
    mean = np.average(price[known], weights=p[known])
    x = (price - mean) / np.sqrt(np.average((price[known] - mean) ** 2, weights=p[known]))
    s = float(model.spreads[0])
    among = sum(ages) + s**2 / (1 - s**2)
    m = sum(w * x[i - 1] for i, w in zip(history, ages, strict=True)) / among
    variance = s**2 * (1 + 1 / among)
    density = np.exp(x**2 / 2 - (x - m) ** 2 / (2 * variance)) / np.sqrt(variance)
    density[4] = 1.0  # its price is unknown
    np.testing.assert_allclose(got[2].numpy(), density, rtol=1e-4)
    logits = model.weights[0] * model.level[1:]
    logits = logits + sum(w * r.log() for w, r in zip(model.weights[1:], got, strict=True))
    scores = model.scores(torch.tensor([history]))[0]
    assert torch.allclose(scores[1:], logits.softmax(0), atol=1e-6)
    assert scores[0] == 0


@pytest.mark.parametrize("law", ["category", "price"])
def test_tastes_by_attributes_are_found_whatever_others_there_are(law):
    shop = Shop(law, 5, customers=300, items=200)
    given = of_a_shop(shop)
    model = AttributeAffinity().fit(given)
    share = shop.share_of_oracle(lists_of(shop, model))
    assert share > 0.68
    assert share > shop.share_of_oracle(lists_of(shop, Popularity().fit(given))) + 0.2
    assert model.decay == 1.0
    assert len(model.members if law == "category" else model.numbers) >= 1
    alone = AttributeAffinity().fit(replace(given, kinds={law: ATTRIBUTES[law]}))
    assert shop.share_of_oracle(lists_of(shop, alone)) == pytest.approx(share, abs=0.03)


def test_what_leads_to_the_goal_tells_of_tastes_and_worthless_kinds_do_not():
    shop, chance = Shop("category", 1, customers=200, items=100), np.random.default_rng(0)
    users, kinds = [], []
    for customer, own in enumerate(shop.orders):
        views = chance.choice(100, 3, p=shop.truth(customer)) + 1
        returns = chance.integers(1, 101, 3)
        users.append([*views, *(item + 1 for item in own), *returns])
        kinds += [1] * 3 + [2] * len(own) + [3] * 3
    given = replace(
        evidence(users, 100), items=of_a_shop(shop).items, kinds={"category": "category"}
    )
    log = replace(given.log, feedback=np.array(kinds, np.int8))
    worth = np.array([0, 0.1, 1, 0], np.float32)
    model = AttributeAffinity().fit(replace(given, log=log, worth=worth))
    assert model.power == 0
    history = torch.tensor([[1, 2, 3]])
    known = {Key.FEEDBACK: torch.tensor([[1, 2, 3]])}
    alike = {Key.FEEDBACK: torch.tensor([[2, 2, 3]])}
    scores = model.scores(history, details=known)
    assert torch.allclose(scores, model.scores(history, details=alike))
    assert torch.allclose(scores, model.scores(torch.tensor([[1, 2, 0]]), details=alike))
    # Without a goal all kinds tell as much as one another.
    without = AttributeAffinity().fit(replace(given, log=log)).scores(history, details=known)
    plain = AttributeAffinity().fit(given).scores(history)
    assert torch.allclose(without, plain)


def test_attributes_that_tell_nothing_are_refused():
    with pytest.raises(NotApplicable, match="do not tell what somebody chooses"):
        AttributeAffinity().fit(of_a_shop(Shop("chance", 4, customers=150, items=80)))


GENERATOR = torch.Generator().manual_seed(0)
VECTORS = torch.randn(13, 4, generator=GENERATOR)
VECTORS[0] = VECTORS[11] = 0  # item 11 has no text
COUNTS = torch.tensor([0, 3, 1, 0, 2, 5, 1, 0, 4, 2, 7, 3, 0])  # items 3, 7 and 12 are cold
SCORES = torch.randn(3, 13, generator=GENERATOR)
WARM, COLD = [1, 2, 4, 5, 6, 8, 9, 10], [3, 7, 12]
FILMS = [
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
    """Of vectors and of words, (12, 12) each of the items 1 … 12, by other means."""
    # scikit-learn's smoothed idf is ours plus 1; its counts are of the texts it is fitted on.
    kept = TfidfVectorizer(min_df=3, binary=True, smooth_idf=True, norm=None)
    kept.set_params(token_pattern=r"\w+").fit([FILMS[i - 1] for i in WARM])
    raw = kept.transform(FILMS).toarray()
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
    found = TextMap(VECTORS, FILMS, COUNTS, l2=0.5).scores(SCORES)
    expected = regressed(WARM, COLD, centred(WARM))
    np.testing.assert_allclose(found[:, COLD].numpy(), expected, atol=1e-5)
    others = [i for i in range(len(FILMS) + 1) if i not in COLD]
    assert (found[:, others] == -torch.inf).all()


def test_warm_items_as_if_cold_are_foretold_by_all_others():
    mapped = TextMap(VECTORS, FILMS, COUNTS, l2=0.5)
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
    mapped, items = TextMap(VECTORS, FILMS, COUNTS, 0.5, weights), [*COLD, 1]
    found = mapped.predicted(SCORES, None, mapped.query(torch.tensor(items))).numpy()
    shares = SCORES[:, WARM].softmax(1).double().numpy()
    expected = np.zeros((3, 4))
    for weight, cosines in zip(weights, cosines_of_texts(), strict=False):
        for column, item in enumerate(items):
            near = cosines[item - 1, np.array(WARM) - 1].clip(0) * (np.array(WARM) != item)
            loud = np.where(near >= np.sort(near)[-count], near**4, 0)
            # Item 12 shares no word with any other.
            loud = loud / loud.sum() if loud.sum() else np.full(len(WARM), 1 / len(WARM))
            expected[:, column] += weight * np.log(shares @ loud + 0.1 / len(FILMS))
    alone = TextMap(VECTORS, FILMS, COUNTS, 0.5)
    expected += weights[2] * alone.predicted(SCORES, None, alone.query(torch.tensor(items))).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    monkeypatch.setattr(text_map, "BLOCK", 8)  # an item at once
    blocked = TextMap(VECTORS, FILMS, COUNTS, 0.5, weights).scores(SCORES)[:, COLD].numpy()
    np.testing.assert_allclose(blocked, expected[:, :3], atol=1e-5)


def test_texts_of_the_history_count_by_how_recent_they_are():
    mapped = TextMap(VECTORS, FILMS, COUNTS, 0.5, (0, 0, 0, 2))
    found = mapped.scores(SCORES[:2], torch.tensor([[0, 4, 8], [0, 0, 11]]))[:, COLD].numpy()
    near = cosines_of_texts()[0].clip(0) ** 2
    warm, cold = np.array(WARM) - 1, np.array(COLD) - 1
    usual = 0.8 * near[3, warm].mean() + near[7, warm].mean()
    expected = 2 * np.log((0.8 * near[3, cold] + near[7, cold]) / usual + 0.1)
    np.testing.assert_allclose(found[0], expected, atol=1e-5)
    np.testing.assert_allclose(found[1], 2 * np.log(0.1), atol=1e-5, err_msg="11 has no text")


def test_what_likeness_is_usual_is_measured_on_a_sample(monkeypatch):
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
