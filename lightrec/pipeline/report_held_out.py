"""What the report says of the held-out log beside the means: slices, and what is recommended."""

from collections.abc import Mapping

from lightrec.evaluation.slices import SLICES
from lightrec.pipeline.report_parts import Section, Table

SLICE_TITLES = {
    "warm": "items with training events",
    "cold": "items without",
    "head": "popular items (half of all training events)",
    "tail": "the other items",
    "short": "users with short histories",
    "medium": "medium ones",
    "long": "long ones",
}
RECOMMENDED = {
    "coverage@10": "catalog covered",
    "novelty@10": "novelty (bits)",
    "popularity_percentile@10": "popularity percentile",
    "popularity_ratio@10": "popularity, over that of choices",
}


def beyond_the_mean(metrics: Mapping[str, float], rankers: Mapping[str, str]) -> Section | None:
    """Tell whom the rankings serve, and what the recommendations are like.

    :param rankers: contenders' titles by their names in the metrics.
    :returns: None where the metrics say nothing of it.
    """
    shown = {n: t for n, t in rankers.items() if f"test/{n}/coverage@10" in metrics}
    if not shown:
        return None
    first = next(iter(shown))
    slices = [
        [SLICE_TITLES[s], f"{int(events):,}", *(_number(metrics, n, f"{s}/ndcg@10") for n in shown)]
        for s in SLICES
        if (events := metrics.get(f"test/{first}/{s}/events", 0))
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
            Table(["NDCG@10 of", "events", *shown.values()], slices),
            Table(["", *RECOMMENDED.values()], recommended, shown[first]),
        ],
        note="Histories are counted in training events and cut at the users' tertiles; users with "
        "equally long ones stay together. The percentile is the share of the catalog that is less "
        "popular: items drawn at random have 0.5.",
    )


def _number(metrics: Mapping[str, float], name: str, key: str) -> str:
    value = metrics.get(f"test/{name}/{key}")
    return "–" if value is None else f"{value:.3f}"


def _advantage(metrics: Mapping[str, float]) -> str:
    key = "test/encoder-minus-popularity/ndcg@10"
    if key not in metrics:
        return ""
    mean, low, high = (metrics[k] for k in (key, f"{key}/low", f"{key}/high"))
    return (
        f" Over all of them the encoder has {mean:+.3f} ({low:+.3f} to {high:+.3f}) against "
        "popularity: a paired bootstrap over users, 95 %."
    )
