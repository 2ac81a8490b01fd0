"""The report on items without training events."""

from collections.abc import Mapping

from lightrec.evaluation.held_out_cold import PLACES, RATES
from lightrec.evaluation.sections import Section, Table
from lightrec.report import plots

TITLES = {
    "map": "scores of other items, mapped by their texts",
    "TextNeighbours": "text neighbours of recent items",
    "text": "text neighbours of the whole history",
}


def cold_items(metrics: Mapping[str, float]) -> Section | None:
    """Show how new items are ranked, and what places reserved for them cost the others.

    :returns: None where no held-out event is about an item without training events.
    """
    if "cold/events" not in metrics:
        return None
    shown = {n: t for n, t in TITLES.items() if f"cold/{n}/recall@10" in metrics}
    among = [
        [title, *(f"{metrics[f'cold/{name}/{m}@10']:.3f}" for m in ("recall", "ndcg"))]
        for name, title in shown.items()
    ]
    rows, points = [], {}
    whole = metrics["cold/places-0/warm/ndcg@10"]
    policies = {f"places-{places}": f"{places} reserved" for places in PLACES} | {
        f"explore-{rate}": f"each at random, {100 * rate:.0f} %" for rate in RATES
    }
    for policy, title in policies.items():
        if f"cold/{policy}/warm/ndcg@10" not in metrics:
            continue  # of a run by an earlier version
        found, warm = (metrics[f"cold/{policy}/{k}"] for k in ("cold/recall@10", "warm/ndcg@10"))
        lost = f"{100 * (1 - warm / whole):.1f} %" if whole else "–"
        rows.append([title, f"{found:.3f}", f"{warm:.3f}", lost])
        points[policy] = warm, found
    drawn, axes = plots.figure(4.5, 2.6)
    curve = [points[f"places-{places}"] for places in PLACES]
    axes[0].plot(*zip(*curve, strict=True), color=plots.OWN, marker="o")
    for places, point in zip(PLACES, curve, strict=True):
        axes[0].annotate(f" {places}", point)
    axes[0].set_xlabel("NDCG@10 of items with events")
    axes[0].set_ylabel("Recall@10 of items without")
    return Section(
        "New items",
        f"{int(metrics['cold/events']):,} held-out events are about {int(metrics['cold/items']):,} "
        "items without training events. The first table ranks these items among themselves. In a "
        "list of ten they appear only in places of their own: the last places are reserved, or "
        "each place is drawn at random, so that all new items are tried.",
        [
            Table(["among new items alone", "Recall@10", "NDCG@10"], among, TITLES["map"]),
            Table(["places of ten", "Recall@10, new", "NDCG@10, others", "others lose"], rows),
        ],
        plots.svg(drawn),
        "Ranked among all items by their texts, new items have Recall@10 "
        f"{metrics['cold/text-among-all/recall@10']:.3f}. `lightrec recommend RUN --new 2` "
        "reserves two places; `--explore 0.2` draws them.",
    )
