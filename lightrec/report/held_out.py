"""The report on the held-out log: who is ranked, slices of events, and what is recommended."""

import re
from collections.abc import Mapping

from lightrec.evaluation.sections import Section, Table
from lightrec.evaluation.slices import SLICES

RANKERS = {
    "blend": "blend",
    "ranker": "its ranker alone",
    "policy": "policy",
    "popularity": "popularity",
    "random": "random",
    "predictions": "your predictions",
}
"""Titles of contenders; item models go by their own names."""
SLICE_TITLES = {
    "warm": "items with training events",
    "cold": "items without training events",
    "head": "popular items (half of all training events)",
    "tail": "all other items",
    "short": "users with short histories",
    "medium": "users with medium histories",
    "long": "users with long histories",
}
RECOMMENDED = {
    "coverage@10": "catalog covered",
    "novelty@10": "novelty (bits)",
    "popularity_percentile@10": "popularity percentile",
    "popularity_ratio@10": "popularity, over that of choices",
}


def rankers(metrics: Mapping[str, float]) -> dict[str, str]:
    """The contenders on the held-out log: titles by names in the metrics, item models by rank."""
    found = {n: t for n, t in RANKERS.items() if f"test/{n}/ndcg@10" in metrics}
    models = sorted(item_models(metrics), key=lambda name: -metrics[f"test/{name}/ndcg@10"])
    own = {name: title for name, title in found.items() if name in ("blend", "ranker", "policy")}
    return {**own, **{name: name for name in models}, **found}


def item_models(metrics: Mapping[str, float]) -> list[str]:
    """The names of the item models in the metrics, besides popularity."""
    pattern = re.compile(r"test/(\w[\w-]*)/ndcg@10")
    names = [found[1] for key in metrics if (found := pattern.fullmatch(key))]
    return [name for name in names if name not in RANKERS and "-minus-" not in name]


def validation_lines(metrics: Mapping[str, float]) -> list[str]:
    """Set how the blend, its ranker and the item models rank the validation events."""
    pattern = re.compile(r"validation/(\w[\w-]*)/ndcg@10")
    values = {found[1]: v for key, v in metrics.items() if (found := pattern.fullmatch(key))}
    if not values or "validation/ndcg@10" not in metrics:
        return []
    ranked = sorted(values.items(), key=lambda pair: -pair[1])
    rows = [("blend", metrics["validation/ndcg@10"]), *ranked]
    return [f"{'validation events':<24}{'NDCG@10':>7}"] + [
        f"{RANKERS.get(name, name):<24}{value:>7.3f}" for name, value in rows
    ]


def against_item_models(metrics: Mapping[str, float]) -> list[str]:
    """Compare the blend with the item model that is best on the validation events."""
    values = {n: metrics.get(f"validation/{n}/ndcg@10", 0.0) for n in item_models(metrics)}
    if not values:
        return []
    best = max(values, key=values.__getitem__)
    sentence = (
        f"{best} is the best item model on the validation events; on the test events its NDCG@10 "
        f"is {metrics[f'test/{best}/ndcg@10']:.3f}"
    )
    key = f"test/blend-minus-{best}/ndcg@10"
    if key not in metrics:
        return [f"{sentence}."]
    mean, low, high = metrics[key], metrics[f"{key}/low"], metrics[f"{key}/high"]
    outcome = "is better" if low > 0 else "is worse" if high < 0 else "is not clearly different"
    return [f"{sentence}, and the blend {outcome}: {mean:+.3f} ({low:+.3f} to {high:+.3f})."]


def beyond_the_mean(metrics: Mapping[str, float], rankers: Mapping[str, str]) -> Section | None:
    """Show whom the rankings serve, and what the recommendations are like.

    :param rankers: contenders' titles by their names in the metrics.
    :returns: None where the metrics say nothing of it.
    """
    shown = {n: t for n, t in rankers.items() if f"test/{n}/coverage@10" in metrics}
    if not shown:
        return None
    first = next(iter(shown))
    counts = {s: int(metrics.get(f"test/{first}/{s}/events", 0)) for s in SLICES}
    slices = [name for name in SLICES if counts[name]]
    served = [["events", *(f"{counts[s]:,}" for s in slices)]] + [
        [title, *(_number(metrics, name, f"{s}/ndcg@10") for s in slices)]
        for name, title in shown.items()
    ]
    recommended = [
        [title, *(_number(metrics, name, key) for key in RECOMMENDED)]
        for name, title in shown.items()
    ]
    return Section(
        "Whom it serves, and with what",
        "NDCG@10 over parts of the held-out events, then the ten items that each contender "
        f"recommends.{_advantage(metrics)}",
        [
            Table(["NDCG@10 of", *(SLICE_TITLES[s] for s in slices)], served, shown[first]),
            Table(["", *RECOMMENDED.values()], recommended, shown[first]),
        ],
        note="Users are split into thirds by the number of their training events; users with "
        "equally long histories stay together. The percentile is the share of the catalog that is "
        "less popular: items drawn at random have 0.5.",
    )


def _number(metrics: Mapping[str, float], name: str, key: str) -> str:
    value = metrics.get(f"test/{name}/{key}")
    return "–" if value is None else f"{value:.3f}"


def _advantage(metrics: Mapping[str, float]) -> str:
    key = "test/blend-minus-popularity/ndcg@10"
    if key not in metrics:
        return ""
    mean, low, high = (metrics[k] for k in (key, f"{key}/low", f"{key}/high"))
    return (
        f" Over all events the blend's NDCG@10 differs from that of popularity by {mean:+.3f} "
        f"({low:+.3f} to {high:+.3f}; 95 %, paired bootstrap over users)."
    )
