"""The made-up shop: exact counts, goods bought once, and purchases that follow the truth."""

import numpy as np
import polars as pl
from lightrec_ecommerce.made_up import make
from scipy.stats import spearmanr


def test_what_is_bought_follows_the_truth_and_what_is_viewed_follows_fame() -> None:
    shop, same = make(3, events=4_000, customers=150), make(3, events=4_000, customers=150)
    assert shop.log.equals(same.log)
    assert shop.log.height == 4_000
    bought = shop.log.filter(pl.col("event") == "purchase")
    assert bought.select("customer", "sku").is_unique().all()
    assert bought["price paid"].null_count() == 0
    rows = {"customer": shop.customers["customer"], "sku": shop.products["sku"]}
    places = [
        bought[name].cast(pl.Enum(ids)).to_physical().to_numpy() for name, ids in rows.items()
    ]
    appeal = shop.appeal[*places]
    assert appeal.mean() > np.quantile(shop.appeal, 0.9)
    views, sales = (
        shop.products.join(
            shop.log.filter(pl.col("event") == kind)["sku"].value_counts(), "sku", "left"
        )["count"].fill_null(0)
        for kind in ("view", "purchase")
    )
    assert 0 < spearmanr(views, sales).statistic < 0.7
