"""Three lines for who owns the shop: what was found, how sure it is, and what to do next."""

from lightrec.data.store import EventStore
from lightrec.evaluation.base import Metrics, interval
from lightrec.evaluation.held_out import ADVANTAGE, FEW, model_names, too_good

AHEAD = (
    "Show these lists to a part of your customers, drawn at random, and count what they and the "
    "others do: only that tells what the lists earn. `lightrec recommend RUN --all --out FILE` "
    "writes them, and `lightrec serve RUN` answers your shop."
)
LEVEL = (
    "Go on showing what is popular, and try again with more events, with the kinds of events that "
    "come before, or with a table of the items' categories, brands and prices."
)


def owner(metrics: Metrics, store: EventStore) -> list[tuple[str, str]]:
    """Say in plain words what the held-out events tell; nothing where none were ranked.

    :param metrics: of the whole run; every number comes from them.
    :returns: a question and its answer, three times.
    """
    shares = []
    for part in ("", "discovered/"):
        held = (metrics.get(f"test/{n}/{part}recall@10") for n in ("blend", "popularity"))
        shares.append([f"{100 * share:.0f}" for share in held if share is not None])
    if len(shares[0]) < 2:
        return []
    events, kinds = int(metrics["test/events"]), " or ".join(store.goal)
    found = (
        f"{events:,} events of your customers{f' ({kinds})' * bool(kinds)} were hidden from "
        "lightrec. In 100 of them its list of ten held the item {} times, and the ten most popular "
        "items {} times"
    ).format(*shares[0])
    if len(shares[1]) == 2:
        found += "; where the item was new to the customer, {} and {} times".format(*shares[1])
    ends = interval(metrics, ADVANTAGE.format("popularity"))
    low, high = (0.0, 0.0) if ends is None else ends[1:]
    sure, advice = "The difference may be chance", LEVEL
    if low > 0:
        sure, advice = "The lists' lead over what is popular is more than chance", AHEAD
        # The best on these very events, which favors it.
        if names := model_names(metrics):
            lead = interval(metrics, ADVANTAGE.format(names[0]))
            clear = "more than chance, too" if lead and lead[1] > 0 else "perhaps chance"
            sure += f"; that over the best simple model, {names[0]}, is {clear}"
    elif high < 0:
        sure = "The lead of what is popular is more than chance"
    few = ". So few events decide little" if events < FEW else ""
    if too_good(metrics):
        sure, few = "Not at all: the figures are too good to be true", ""
        advice = "Use nothing of it before the reason is known; it stands below."
    return [
        ("What was found", f"{found}."),
        ("How sure is it?", f"{sure}{few}."),
        ("What to do next", advice),
    ]
