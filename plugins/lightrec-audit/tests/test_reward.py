"""Learned rewards: features by hand, known laws, exact attributions, and beside the true one."""

import json

import numpy as np
import polars as pl
import pytest
import torch
from lightrec_audit.linear import RewardFeatures
from lightrec_audit.reward import EXPLAINED, attribute, explain
from lightrec_audit.truth import spearman_within_sets
from scipy.stats import spearmanr

from lightrec.data.catalog import Catalog
from lightrec.keys import Column
from lightrec.users.choice_data import ChoiceData
from lightrec.users.choice_model import PooledChoice, RecurrentChoice
from lightrec.users.irl import Continuation, RewardModel
from lightrec.users.user_model import UserModel
from tests.learners.training import Again
from tests.users.stores import prepared

ITEMS, PLACES = 24, 4
WEIGHTS = {"any item": -1.0, "kind: bad": -1.0, "price": 0.7}
KINDS = ["good", "bad", "good", "odd"]
CATALOG = pl.DataFrame(
    {
        Column.ITEM: [f"i{i:02d}" for i in range(ITEMS)],
        Column.TITLE: [f"Item {i}" for i in range(ITEMS)],
        "kind": [KINDS[i % 4] for i in range(ITEMS)],
        "price": [float(i // 4) if i != 5 else None for i in range(ITEMS)],
        "code": [f"c{i}" for i in range(ITEMS)],
        "tags": [["red"] * (i < 6) + ["wet"] * (i < 12) for i in range(ITEMS)],
    }
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """150 users choose from sets of four, or nothing, by a linear law."""
    draw = np.random.default_rng(0)
    table = CATALOG
    price = table["price"].fill_null(strategy="mean").to_numpy()
    price = (price - table["price"].mean()) / table["price"].std()
    score = -1.0 - (table["kind"] == "bad").to_numpy() + 0.7 * price
    rows = []
    for user in range(150):
        for step in range(12):
            offered = draw.permutation(ITEMS)[:PLACES]
            place = (np.append(score[offered], 0.0) + draw.gumbel(size=PLACES + 1)).argmax()
            names = [f"i{i:02d}" for i in offered]
            taken = names[place] if place < PLACES else None
            rows.append((f"u{user}", taken, step, names))
    names = [Column.USER, Column.ITEM, Column.TIME, Column.CANDIDATES]
    log = pl.DataFrame(rows, names, orient="row")
    folder = tmp_path_factory.mktemp("explained") / "data"
    prepared(log, folder, catalog=Catalog(table), domain=Again())
    return ChoiceData(str(folder), half="all", history_length=6)


def test_features_by_hand(data):
    store = data.store
    table = store.catalog
    vectors = torch.zeros(ITEMS + 1, 2)
    vectors[1:] = torch.tensor([[1.0, 0.0], [-1.0, 0.0]]).repeat(ITEMS // 2, 1)
    features = RewardFeatures(store, vectors, store.popularity())
    fixed = ["any item", "popularity (log)", "price"]
    words = ["kind: bad", "kind: odd", "tags: red", "tags: wet"]
    seen = ["like the last", "like the last 5", "of the last 5, of a shared category"]
    assert features.names == [*fixed, *words, *seen, "chosen in the last 5"]
    first, second = table[Column.ITEM].to_list().index("i01") + 1, 3
    history = torch.tensor([[0, 0, 0, 0, first, ITEMS + 1, first]])
    values = features(history, torch.tensor([[first, 0, second]]))
    assert (values[0, 1] == 0).all()
    named = dict(zip(features.names, values[0, 0].tolist(), strict=True))
    assert named["any item"] == named["kind: bad"] == named["tags: red"] == 1
    assert named["kind: odd"] == 0
    assert named["chosen in the last 5"] == named["of the last 5, of a shared category"] == 2
    # A cosine of 1, in units of one over the root of two coordinates; two of the last five.
    assert named["like the last"] == pytest.approx(2**0.5)
    assert named["like the last 5"] == pytest.approx(2**0.5 * 2 / 5)
    unknown = table["price"].to_list().index(None) + 1
    assert features.items[unknown, 2] == 0


@pytest.mark.parametrize("discount", [0.0, 0.9])
def test_a_known_linear_reward_is_found(data, tmp_path, discount):
    model = PooledChoice(ITEMS, 2, 6, discount=discount)
    model.set_items(torch.randn(ITEMS + 1, 2))
    # What choices do for later offers is known to be nothing.
    torch.nn.init.zeros_(model.value.weight)
    metrics = explain(UserModel([model]).eval(), None, data, tmp_path)
    written = json.loads((tmp_path / EXPLAINED).read_text())
    # Popularity would stand for price and kind: in this law it has no part of its own.
    table = {row["feature"]: row for row in written["without_popularity"]}
    assert {"popularity (log)"} == {row["feature"] for row in written["linear"]} - set(table)
    for name, row in table.items():
        assert abs(row["weight"] - WEIGHTS.get(name, 0)) < 3 * row["error"], row
    # Enough to tell what counts from what does not.
    assert all(table[name]["low"] * table[name]["high"] > 0 for name in WEIGHTS)
    # The same events under the law itself: a fitted reward is about as good.
    assert -1.7 < metrics["linear/log_likelihood"] < -0.9


def test_extremes_and_parts_are_the_models_own(data, tmp_path):
    model = PooledChoice(ITEMS, 2, 6, discount=0.8)
    model.set_items(torch.randn(ITEMS + 1, 2))
    model.bias.data[1:] = 5.0 * torch.arange(ITEMS)
    explain(UserModel([model]).eval(), None, data, tmp_path)
    written = json.loads((tmp_path / EXPLAINED).read_text())
    titles = data.store.catalog[Column.TITLE].to_list()
    assert [row["title"] for row in written["best"]] == titles[:-11:-1]
    assert [row["title"] for row in written["worst"]] == titles[:10]
    total = sum(part["mean"] for part in written["parts"])
    assert total == pytest.approx(written["reward"] - written["baseline"], rel=1e-3)


N = 9


def choice_model(kind, **settings):
    torch.manual_seed(0)
    model = kind(N, 3, 5, **{"discount": 0.9, "leave_rate": 0.1, **settings})
    model.set_items(torch.randn(N + 1, 3), torch.randn(N + 1))
    torch.nn.init.normal_(model.bias)
    torch.nn.init.normal_(model.value.weight)
    return model.eval()


HISTORY = torch.tensor([[0, 0, 3, 4, 9], [1, 2, N + 1, 4, 4], [0, 0, 0, 0, 0], [5, 6, 7, 8, 9]])
CHOSEN = torch.tensor([2, 4, 9, 9])


def check_sum(model, tolerance):
    reward, baseline, parts = attribute(model, HISTORY, CHOSEN, steps=32)
    torch.testing.assert_close(reward, model.reward(HISTORY, CHOSEN.unsqueeze(1)).squeeze(1))
    total = sum(part.view(len(CHOSEN), -1).sum(1) for part in parts.values())
    torch.testing.assert_close(total, reward - baseline, atol=tolerance, rtol=0)
    return parts


@pytest.mark.parametrize(
    ("kind", "records_nothing"),
    [(PooledChoice, True), (PooledChoice, False), (RecurrentChoice, True)],
)
def test_parts_sum_to_the_reward_less_the_baseline(kind, records_nothing):
    model = choice_model(kind, records_nothing=records_nothing)
    parts = check_sum(model, 2e-4)
    # Padding, and steps in which nothing was chosen, have no part.
    assert (parts["history"][(HISTORY == 0) | (HISTORY > N)] == 0).all()


def test_parts_of_a_reward_with_networks_of_its_own_sum_up_too():
    continuation = Continuation(choice_model(RecurrentChoice), 8)
    torch.nn.init.normal_(continuation.linear.weight)
    model = RewardModel(choice_model(PooledChoice), continuation, 0.9).eval()
    parts = check_sum(model, 1e-3)
    alone = attribute(model.network, HISTORY, CHOSEN, steps=32)[2]
    assert not torch.allclose(parts["vectors"], alone["vectors"])


def test_it_is_exact_where_the_reward_is_linear():
    model = choice_model(PooledChoice, discount=0.0)
    # Tastes are the same in all states, and the hidden layer is silent.
    for part in (model.head[2], model.linear_head, model.hidden[0]):
        torch.nn.init.zeros_(part.weight)
    torch.nn.init.zeros_(model.hidden[0].bias)
    model.offset_weight.data.fill_(0.5)
    parts = attribute(model, HISTORY, CHOSEN, steps=2)[2]
    taste = model.head[2].bias[:-1]
    linear = taste @ model.as_candidate.weight[:, -11:]
    torch.testing.assert_close(parts["vectors"], linear[:3] * model.vectors[CHOSEN])
    torch.testing.assert_close(parts["identity"], model.identity[CHOSEN] @ linear[3:])
    torch.testing.assert_close(parts["bias"], model.bias[CHOSEN])
    torch.testing.assert_close(parts["offsets"], 0.5 * model.offsets[CHOSEN])
    assert (parts["history"] == 0).all()


def test_spearman_is_the_mean_of_scipys_over_sets():
    generator = torch.Generator().manual_seed(0)
    truth = torch.randn(40, 20, generator=generator)
    score = truth + torch.randn(40, 20, generator=generator)
    score[:, :3] = 0.5  # ties share their mean rank
    expected = [spearmanr(a, b).statistic for a, b in zip(score, truth, strict=True)]
    mean = spearman_within_sets(score, truth)
    assert mean == pytest.approx(sum(expected) / 40, abs=1e-12)
