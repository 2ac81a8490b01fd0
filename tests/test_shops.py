"""The shops that other tests learn from are what they say."""

import numpy as np
import pytest

from tests.shops import Shop

LAWS = ("category", "item", "sequence", "price", "chance")


def names(items) -> list[str]:
    return [f"i{item}" for item in items]


@pytest.mark.parametrize("law", LAWS)
def test_a_shops_truth_is_a_law_over_what_was_not_ordered(law):
    shop = Shop(law, customers=40)
    for customer in range(40):
        law = shop.truth(customer)
        assert law.sum() == pytest.approx(1)
        assert not law[shop.orders[customer]].any()


@pytest.mark.parametrize("law", LAWS)
def test_the_best_lists_have_all_that_can_be_had_and_popular_ones_less(law):
    shop = Shop(law)
    people = range(shop.customers)
    best = {f"c{c}": names(np.argsort(-shop.truth(c))[:10]) for c in people}
    popular = names(np.argsort(-shop.popularity)[:10])
    assert shop.share_of_oracle(best) == pytest.approx(1)
    share = shop.share_of_oracle({name: popular for name in best})
    assert share > 0.9 if law == "chance" else share < 0.5


def test_a_shop_is_the_same_twice_and_its_export_is_one_line_an_event(tmp_path):
    first, second = (Shop("category", seed=3, customers=30).write(tmp_path / n) for n in "ab")
    assert all(first[name].read_bytes() == second[name].read_bytes() for name in first)
    assert first["log"].read_text().splitlines()[0] == "customer,sku,event,price,time"
    events = Shop("category", seed=3, customers=30).events
    assert {*events["event"]} == {"view", "basket", "order", "return"}
    assert events["time"].is_sorted()
