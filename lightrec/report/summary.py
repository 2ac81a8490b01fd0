"""The summary for a terminal, and three lines for who owns the shop."""

import textwrap
from collections.abc import Sequence

from lightrec.data.store import EventStore
from lightrec.evaluation import held_out, predictions, session_tables
from lightrec.evaluation.base import Metrics, interval
from lightrec.evaluation.evidence import Favoured, favoured, named
from lightrec.evaluation.held_out import ADVANTAGE, FEW, model_names, too_good
from lightrec.run import Run

WIDTH = 100
"""Characters of a line in a terminal."""
LONG_RUN = (
    "This run ranks the next event. The long run, which takes many times as long, adds user models "
    "that are learned from what people chose, a policy that is trained in them to please for whole "
    "sessions, and a report on whether it does."
)
"""What a run with the goal `next` lacks."""
AHEAD = (
    "Show these lists to a part of your customers, drawn at random, and count what they and the "
    "others do: only that tells what the lists earn. `lightrec recommend RUN --all --out FILE` "
    "writes them, and `lightrec serve RUN` answers your shop."
)
LEVEL = (
    "Go on showing what is popular, and try again with more events, with the kinds of events that "
    "come before, or with a table of the items' categories, brands and prices."
)

_STAGES = {
    "text": "the tuning of texts",
    "users_a": "user model A",
    "users_b": "user model B",
    "assumptions": "the assumptions",
}


def from_before(run: Run) -> str:
    """Say from which versions the stages are that an update left as they were; empty for none."""
    by_version: dict[int, list[str]] = {}
    for stage, noted in run.about.get("elsewhere", {}).items():
        by_version.setdefault(noted["version"], []).append(_STAGES.get(stage, f"the {stage}"))
    parts = [
        f"of version {number}: {', '.join(names)}" for number, names in sorted(by_version.items())
    ]
    if not parts:
        return ""
    return (
        "An update makes data, ranker and their evaluation. All else is as it was before, and so "
        f"are the figures of simulated sessions in that version's report; {'; '.join(parts)}."
    )


def recommending(chosen: Favoured) -> str:
    """Say what `lightrec recommend` ranks by, and why."""
    return f"`lightrec recommend` ranks by {named(chosen.by)}. {chosen.reason}"


def summary(metrics: Metrics, tables: Sequence[str] | None = None) -> str:
    """Set the headline numbers of a finished run, or of its ranker's stage, and of predictions.

    :param tables: of its evaluators; None for those of lightrec's own.
    """
    if tables is None:
        ranked = held_out.lines(metrics, metrics) if held_out.rankers(metrics) else ""
        tables = [ranked, predictions.lines(metrics), session_tables.summary(metrics)]
    validated = None if "test/events" in metrics else held_out.validation_table(metrics)
    by = "\n".join(textwrap.wrap(recommending(favoured(metrics)), WIDTH))
    shown = ["" if validated is None else validated.text(), *tables]
    shown.append(by if session_tables.played(metrics) else "")
    return "\n".join(f"{table}\n" for table in shown if table)


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
    sentence = (
        f"{events:,} events of your customers{f' ({kinds})' * bool(kinds)} were hidden from "
        "lightrec. In 100 of them its list of ten held the item {} times, and the ten most popular "
        "items {} times"
    ).format(*shares[0])
    if len(shares[1]) == 2:
        sentence += "; where the item was new to the customer, {} and {} times".format(*shares[1])
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
        ("What was found", f"{sentence}."),
        ("How sure is it?", f"{sure}{few}."),
        ("What to do next", advice),
    ]
