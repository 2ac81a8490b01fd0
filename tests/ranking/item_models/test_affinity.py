"""The item model of attributes: its equation in plain loops, and laws of shops that it finds."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from lightrec.api import Key, NotApplicable
from lightrec.ranking.item_models.affinity import AttributeAffinity
from lightrec.ranking.item_models.base import Popularity
from tests.shops import BRANDS, PATHS, Shop

from .test_item_models import evidence

TABLE = pl.DataFrame(
    {
        "category": ["Books > Crime", "Books > Crime", "Books > Poetry", "Books", "Toys", None],
        "tags": [["a", "b"], ["a"], ["b"], [], ["c", "a"], ["c"]],
        "price": [1.0, 2.0, 2.5, 3.0, None, 5.0],
    }
)
KINDS = {"category": "category", "tags": "list", "price": "number"}
USERS = [[1, 2, 3, 1], [2, 1, 4], [5, 6, 5], [3, 4, 2], [6, 5], [1, 2], [3, 3, 4], [5, 6, 6]]


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


def test_ratios_are_smoothed_shares_over_usual_ones():
    given = replace(evidence(USERS, 6), items=TABLE, kinds=KINDS)
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
    alone = AttributeAffinity().fit(replace(given, kinds={law: KINDS[law]}))
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


def test_attributes_that_are_not_there_or_tell_nothing_are_refused():
    with pytest.raises(NotApplicable, match="no attributes with several values"):
        AttributeAffinity().fit(evidence())
    alone = replace(evidence(), items=pl.DataFrame({"a": ["x"] * 6}), kinds={"a": "category"})
    with pytest.raises(NotApplicable, match="no attributes with several values"):
        AttributeAffinity().fit(alone)
    with pytest.raises(NotApplicable, match="do not tell what somebody chooses"):
        AttributeAffinity().fit(of_a_shop(Shop("chance", 4, customers=150, items=80)))
