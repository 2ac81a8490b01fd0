"""An explanation in sentences and bars, for a terminal and as a page."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

from lightrec.api import Bars, Run, Section, Table
from lightrec.data.languages import fitted, width
from lightrec.report.page import page_of
from lightrec.report.summary import WIDTH
from lightrec_audit.explain import ALONE, Event, Explanation

SHOWN, DRAWN, TABLED = 6, 10, 50
"""Numbers of events and words that a terminal shows, and the page in a picture and in a table."""
EVENTS, WORDS = "Past events", "Words"
BAR: Final = 16
"""Characters of the longest bar."""


def opening(result: Explanation) -> str:
    """Say where the item comes, and how likely it is."""
    late = "" if result.rank <= result.k else f", so that it is not among the first {result.k}"
    by, goal = result.by.replace("-", " "), " or ".join(result.goal) or "event"
    return (
        f"“{result.title}” is in place {result.rank} of {result.among:,} items that may be shown, "
        f"ranked by the {by}{late}. The next {goal} is about it with a probability of "
        f"{_percent(result.probability)}; after as many average events that would be "
        f"{_percent(result.average_probability)}."
    )


def sections(result: Explanation) -> list[Section]:
    """Say what made the item come, part by part."""
    rows = [
        [str(e.position), e.title, _day(e), e.feedback or "", f"{e.share:+.1%}"]
        for e in result.events[:TABLED]
    ]
    shares = {f"{event.title} ({event.position})": event.share for event in result.events[:DRAWN]}
    events = Section(
        EVENTS,
        "An event's share is what it adds to the logarithm of that probability, or takes from it, "
        "in place of an average event: a share of all that events add and take on the way from "
        f"{_percent(result.average_probability)} to {_percent(result.probability)}, and no "
        "probability itself. The sum of all differs from the whole by "
        f"{result.completeness_error:.1%} (the completeness error).",
        [Table(["event", "title", "when", "kind", "share"], rows)],
        [Bars(shares, "share")],
    )
    of_words: dict[str, float] = {}
    for word in result.words[:DRAWN]:  # one may stand in a text twice
        of_words[word.word] = of_words.get(word.word, 0.0) + word.share
    words = Section(
        WORDS,
        "What each word of the item's text adds in place of a blank, as the ranker reads it: to "
        "the ranker's score of the item, which is a part of what ranks, and not to the probability."
        if result.words
        else result.missing.get("words", ""),
        charts=[Bars(of_words, "share")] if of_words else [],
    )
    reward = Section("The reward", _reward(result))
    change = Section("What would change it", _change(result))
    return [section for section in (events, words, reward, change) if section.text]


def text_of(result: Explanation) -> str:
    """Set an explanation for a terminal."""
    columns = min(50, max(width(event.title) for event in result.events))
    kinds = max(width(event.feedback or "") for event in result.events)
    named = [
        (e.share, f"{fitted(e.title, columns)}  {_day(e):<10}  {fitted(e.feedback or '', kinds)}")
        for e in result.events
    ]
    bars = {EVENTS: _lines(named), WORDS: _lines([(w.share, w.word) for w in result.words])}
    blocks = [textwrap.fill(opening(result), WIDTH)]
    for section in sections(result):
        said = textwrap.fill(section.text, WIDTH)
        blocks.append("\n".join([section.title, said, *bars.get(section.title, ())]))
    return "\n\n".join(blocks) + "\n"


def page_with(result: Explanation, run: Run) -> str:
    """Set an explanation as a page in the report's style."""
    user = "a history" if result.user is None else f"user {result.user}"
    return page_of(run, sections(result), [(f"Why “{result.title}” for {user}?", opening(result))])


def _reward(result: Explanation) -> str:
    if (reward := result.reward) is None:
        return result.missing["reward"]
    share = "all " if reward.above == 1 else f"{reward.above:.1%} of "
    return (
        f"User model A's learned reward is {reward.nats:+.2f} nats, choosing nothing being 0: "
        f"higher than that of {share}{reward.among:,} other items that may be shown."
    )


def _change(result: Explanation) -> str:
    if (change := result.change) is None:
        return f"It is not among the first {result.k} anyway."
    if result.among <= result.k:
        return f"All {result.among} items that may be shown are among the first {result.k}."
    if not change.tried:
        return "No event that could be left out speaks for it."
    if not change.without:
        return (
            f"Even without the {change.tried} events that add most it would be among the first "
            f"{result.k}: it does not depend on a few events."
        )
    titles = {event.position: event.title for event in result.events}
    named = "; ".join(f"“{titles[position]}”" for position in change.without)
    if len(change.without) == 1:
        return f"Without {named} alone it would be in place {change.rank}."
    return (
        f"Without these {len(change.without)} events it would be in place {change.rank}: {named}. "
        f"With any one of them back it would come. None of the {min(ALONE, change.tried)} events "
        "that add most is enough alone."
    )


def _day(event: Event) -> str:
    return (event.time or "")[:10]


def _lines(shares: Sequence[tuple[float, str]]) -> Iterator[str]:
    """A line with a bar for each of the first shares, and one for all others."""
    first, rest = shares[:SHOWN], [share for share, _ in shares[SHOWN:]]
    largest = max((abs(share) for share, _ in first), default=1.0) or 1.0
    for share, name in first:
        bar = ("█" if share > 0 else "░") * round(BAR * abs(share) / largest)
        yield f"  {share:+7.1%}  {bar:<{BAR}}  {name}".rstrip()
    if rest:
        added, taken = (sum(max(sign * share, 0.0) for share in rest) for sign in (1, -1))
        yield f"  {len(rest)} others add {added:.1%} and take {taken:.1%}"


def _percent(probability: float) -> str:
    """A probability with the two digits that count."""
    value = 100 * probability
    if value < 0.001 or value > 99:
        return "less than 0.001 %" if value < 1 else "more than 99 %"
    return f"{value:.0f} %" if value >= 10 else f"{value:.2g} %"
