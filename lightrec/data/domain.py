"""Domains: what lightrec needs to know about a field of use, and what that forbids to show."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from lightrec import plugins
from lightrec.blame import blaming, provider
from lightrec.data.audience import Audience, Past
from lightrec.data.store import NEVER, EventStore, Integers, padded
from lightrec.data.words import WORDS
from lightrec.errors import PluginError
from lightrec.keys import PADDING, Column, Key

if TYPE_CHECKING:
    import torch

    from lightrec.data.sequences import Sequences

Showable: TypeAlias = Callable[..., "torch.Tensor | None"]
"""From users (B,), and where their histories end (B,), to what may be shown to them, (B, N + 1)
bool; None where everything may be. See :class:`LogMask`."""

NEGATIVE: Final = frozenset(WORDS["negative"].split())
"""Kinds of feedback, without case and punctuation, of worth -1 where nobody says another: what was
taken back or disliked, in the languages in which columns are recognised."""
SHOWN: Final = frozenset({"impression", "impressions"})
"""Kinds of worth 0, which say no more than that an item was shown."""
ON_THE_WAY: Final = 0.1
"""The worth of an event that is not of the goal, where nobody says another."""


def plain(name: str) -> str:
    """Write a name without case and punctuation, as kinds of feedback in :data:`NEGATIVE`."""
    return re.sub(r"[\W_]", "", name.lower())


class Domain:
    """A field of use, such as video or news.

    The base class works by itself: it describes items by their titles and all attributes.
    Subclass it in a plugin and return the class from ``lightrec_domains``.
    """

    name = "generic"
    repeats = False
    """Whether an item may come again in a session and in a history. If not, repeated events are
    removed from the log, and training, ranking, simulators and recommendations skip what a person
    has seen. A slate never holds an item twice either way."""
    sample_name: str | None = None
    """The name under which `lightrec data fetch` knows the domain's sample."""
    words: Mapping[str, str] | None = None
    """The columns of a catalog that describe an item, in their order, with what stands around each:
    ``{"title": "{}", "tags": "Tags: {}"}`` makes ``Hyperballad. Tags: pop, electronic``. What an
    item lacks is left out. None: the title, and then all attributes with their names."""
    feedback: Mapping[str, float] = MappingProxyType({})
    """The worth of an event of each kind, for logs whose recipe states no `weights`; worth 0 leaves
    events out. An event of negative worth is in histories but is never a target. A kind that is
    not named has worth -1 where its name says that it was not liked, such as `skip` or `return`, 0
    if it is `impression`, else 0.1 where it is not of the goal or, without one, not what the log's
    other kinds lead to, such as orders, else 1."""
    lifetime: timedelta | None = None
    """How long an item is eligible once it is created, and not before, which its attribute
    `created` says, or else its first event in the log; one with neither is always eligible."""
    disclaimer: str = ""
    """A sentence that stands at the top of the report and above recommendations."""
    by_history = False
    """Whether :meth:`eligible` reads what people did, ``audience.past``. It is then asked again at
    each step of a session; otherwise once, as a session begins. Either way it is asked about the
    moment of each held-out event."""

    def text(self, items: pl.DataFrame) -> pl.Series:
        """Describe items in words, as :attr:`words` says.

        :param items: a catalog: ``item``, ``title`` and any attributes.
        :returns: one string per item, in the same order; empty if nothing is known.
        """
        if (forms := self.words) is None:
            others = items.drop(Column.ITEM, Column.TITLE, Column.TEXT, strict=False).columns
            forms = {Column.TITLE: "{}"} | {n: f"{n.replace('_', ' ')}: {{}}" for n in others}
        parts, schema = [], items.schema
        for name, form in forms.items():
            words = _in_words(name, schema[name]) if name in schema else None
            if words is not None:
                before, _, behind = form.rpartition("{}")
                parts.append(pl.concat_str(pl.lit(before), words, pl.lit(behind)))
        if not parts:
            return pl.Series(Column.TEXT, [""] * items.height)
        joined = pl.concat_str(parts, separator=". ", ignore_nulls=True)
        return items.select(joined.fill_null("").alias(Column.TEXT)).to_series()

    def eligible(self, audience: Audience) -> npt.NDArray[np.bool_] | None:
        """Which items may be shown to which users; a forbidden item is never shown.

        Recommendations, policies and baselines in user models, the ranking of held-out events and
        drawn choice sets all obey it. A list is shortened, or left empty, rather than filled with a
        forbidden item.

        The method is called for batches of users, so a user's row must not depend on the others. A
        log may lack a column, and values may be null. A person who is not in the log has no id,
        and null in place of every value that nobody gave: forbid what you would not show to a
        unknown user.

        :param audience: U users, N items, and the moments at which these are to be shown; with what
            the users did before, where :attr:`by_history` is set.
        :returns: ``(U, N)`` bool, False for what may not be shown; None where everything may be.
        """
        return None

    def words_of(self, attribute: str, items: pl.DataFrame) -> Collection[str]:
        """The words that an attribute of people may have, also where nobody in the log has them.

        Of a new person other words than these and the log's are refused, since they may be typos.

        :param attribute: of the user table, such as ``allergies``.
        :param items: a catalog, whose words may count, such as those of ``allergens``.
        """
        return ()

    def weights(self, kinds: Sequence[str], goal: Sequence[str] = ()) -> dict[str, float] | None:
        """The worth of each kind of feedback, see ``feedback``; None if nothing tells them.

        :param goal: the kinds that are to be brought about.
        """
        others = [kind for kind in kinds if plain(kind) in NEGATIVE | SHOWN and kind not in goal]
        if not goal and not others and self.feedback.keys().isdisjoint(kinds):
            return None
        usual = {kind: ON_THE_WAY if goal and kind not in goal else 1.0 for kind in kinds}
        stated = {kind: float(worth) for kind, worth in self.feedback.items() if kind in kinds}
        by_name = {kind: -1.0 if plain(kind) in NEGATIVE else 0.0 for kind in others}
        return usual | by_name | stated

    @property
    def restricts(self) -> bool:
        """Whether some items may not be shown to some users."""
        return type(self).eligible is not Domain.eligible or self.lifetime is not None

    @property
    def has_synthetic(self) -> bool:
        """Whether the domain writes a synthetic log of its own."""
        return type(self).synthetic is not Domain.synthetic

    def sample(self) -> Path | None:
        """Fetch the domain's sample log and return its folder, or None if it has none.

        :raises FetchError: if the sample cannot be fetched.
        """
        return None

    def synthetic(self, folder: Path, seed: int) -> Path | None:
        """Write a synthetic log of the domain, which `--offline` uses; needs no network.

        :param folder: an empty folder to write into.
        :returns: a path that a reader recognises; None: `--offline` uses the world ``far``.
        """
        return None


def with_texts(domain: Domain, items: pl.DataFrame) -> pl.DataFrame:
    """Fill the empty texts of a catalog with the domain's words.

    :raises PluginError: if the domain fails, or does not give one string an item.
    """
    count = items.height
    with blaming(domain, f"put {count} items into words"):
        words = domain.text(items.drop(Column.TEXT, strict=False))
    if not isinstance(words, pl.Series):
        fault = type(words).__name__
    elif words.dtype != pl.String or len(words) != count or words.null_count():
        nulls = f", {words.null_count()} of them null" if words.null_count() else ""
        fault = f"a Series of {len(words)} {words.dtype}{nulls}"
    else:
        stated = pl.when(pl.col(Column.TEXT) != "").then(pl.col(Column.TEXT))
        return items.with_columns(stated.otherwise(words).alias(Column.TEXT))
    raise PluginError(
        f"`text` of {provider(domain)} gave {fault} for {count} items; expected is a "
        "polars Series of one string an item, in the same order, empty where nothing is known."
    )


def _in_words(name: str, dtype: pl.DataType) -> pl.Expr | None:
    """Convert a column to words; None for types that have none, such as bytes and structs."""
    inner = dtype.inner if isinstance(dtype, pl.List) else dtype
    wordless = (pl.Binary, pl.Duration, pl.Object, pl.Null)
    if inner in wordless or (isinstance(inner, pl.DataType) and inner.is_nested()):
        return None
    words = pl.col(name).cast(pl.String)
    if inner is not dtype:
        words = pl.col(name).list.eval(pl.element().cast(pl.String)).list.join(", ")
    return pl.when(words != "").then(words)


def domain_of(store: EventStore) -> Domain:
    """The domain for which a log was prepared.

    If it is no longer installed, the base class replaces it, unless the domain forbade items.

    :raises PluginError: if the domain forbids items and no installed plugin provides it.
    """
    name = store.meta["settings"]["domain"]
    if name in plugins.installed().parts["domains"]:
        domain: Domain = plugins.installed().get("domains", name).made()
        return domain
    if store.meta.get("restricts"):
        raise PluginError(
            f"The log in {store.folder} was prepared for the domain {name!r}, which says what may "
            "be shown to whom, and no installed plugin provides that domain. Install the package "
            "that does; `lightrec plugins list` shows what is installed."
        )
    return Domain()


def eligible(
    store: EventStore,
    users: Integers | pl.DataFrame,
    time: datetime | Integers | None = None,
    known: Mapping[str, npt.ArrayLike] | None = None,
) -> npt.NDArray[np.bool_] | None:
    """The items that may be shown to some users.

    :param users: ``(B,)`` rows of the user table, each at the time of the user's last event; or B
        people as in the user table, all at the time of the log's last event.
    :param time: when people are to be shown them, in place of the log's last event; or (B,) such
        times, in milliseconds since 1970 UTC. Without one, what was created since counts as new.
    :param known: what is known of the people's events, see :meth:`~.audience.Past.of`; needed where
        the domain reads it. For users of the log :class:`LogMask` knows it.
    :returns: ``(B, N + 1)`` bool; column 0 is False. None where everything may be shown.
    :raises PluginError: if the domain is not installed, fails, or returns something else.
    """
    if not (domain := domain_of(store)).restricts:
        return None
    if isinstance(users, pl.DataFrame):
        now = int(time.timestamp() * 1000) if isinstance(time, datetime) else time
        table, times = users, np.broadcast_to(store.times.max() if now is None else now, len(users))
    else:
        table, ends = store.users[users], store.offsets[users + 1]
        last = ends > store.offsets[users]
        times = np.where(last, store.times[ends - 1], store.times.max())
    return showable_to(
        domain,
        table,
        store.catalog,
        times if store.has_times else None,
        store.first_seen if domain.lifetime is not None else None,
        asked=time is not None or not isinstance(users, pl.DataFrame),
        past=None if known is None else Past.of(known, store.feedback_kinds),
        lookups=store.lookups,
    )


def showable_to(
    domain: Domain,
    users: pl.DataFrame,
    items: pl.DataFrame,
    times: Integers | None,
    appeared: Integers | None,
    *,
    asked: bool,
    past: Past | None,
    lookups: dict[str, Any],
) -> npt.NDArray[np.bool_] | None:
    """Ask a domain what may be shown: its ``eligible``, and its ``lifetime``.

    :param times: (U,) milliseconds since 1970 UTC; None in a log without times.
    :param appeared: (N,) the same for the items; read where the domain has a ``lifetime``.
    :param asked: whether somebody asked for these times. If not, they are the log's end, and what
        has appeared since, by the clock, counts as new.
    :param past: what the users did; needed where the domain reads it.
    :param lookups: see :class:`~lightrec.data.audience.Audience`.
    :returns: ``(U, N + 1)`` bool; column 0 is False. None where everything may be shown.
    :raises PluginError: if the domain fails, or returns something else.
    """
    shape = (users.height, items.height)
    if domain.by_history and past is None:
        raise PluginError(
            f"{provider(domain)} goes by what people did, and nobody said what "
            f"{shape[0]} users did: give `eligible` what is `known`, or ask a LogMask."
        )
    moments = pl.Series("time", [None] * shape[0] if times is None else times, pl.Int64)
    audience = Audience(
        users=users,
        items=items,
        time=moments.cast(pl.Datetime("ms", "UTC")),
        past=past if domain.by_history else None,
        lookups=lookups,
    )
    with blaming(domain, f"say which of {shape[1]} items may be shown to {shape[0]} users"):
        mask = domain.eligible(audience)
    if domain.lifetime is not None and times is not None and appeared is not None:
        lifetime = domain.lifetime // timedelta(milliseconds=1)
        ages = times[:, None] - appeared
        there = (ages >= 0) | (appeared == NEVER)
        if not asked:
            there |= appeared <= datetime.now().timestamp() * 1000
        alive = there & (ages <= lifetime)
        mask = alive if mask is None else mask & alive
    if mask is None:
        return None
    if not isinstance(mask, np.ndarray) or mask.dtype != bool or mask.shape != shape:
        what = f"{mask.dtype} {mask.shape}" if isinstance(mask, np.ndarray) else repr(mask)[:80]
        raise PluginError(
            f"`eligible` of {provider(domain)} gave {what}; expected is None or a numpy "
            f"array of bool, one row a user and one column an item, here {shape}."
        )
    return np.pad(mask, ((0, 0), (1, 0)))


class LogMask:
    """What may be shown to users of a log, a function of theirs and of where their histories end.

    The domain is asked about the moment of the event at which a history ends, or of the user's last
    event where the history is the whole one.

    :param store: the log.
    :param recorded: whether ends are places among all events of ``store.without_cold``; otherwise
        they are places in :meth:`~lightrec.data.sequences.Sequences.all_events`.
    :raises PluginError: at once, if the domain forbids items and is not installed.
    """

    def __init__(self, store: EventStore, *, recorded: bool = False) -> None:
        self.store, self.recorded, domain = store, recorded, domain_of(store)
        self.restricts = domain.restricts
        self.by_history = domain.restricts and domain.by_history

    @cached_property
    def log(self) -> "Sequences":
        """The events in which ends are places."""
        from lightrec.data.sequences import Sequences  # which needs torch, as only models do

        seen = self.store.without_cold
        return Sequences.recorded(seen) if self.recorded else Sequences.chosen(seen)

    def __call__(
        self,
        users: "torch.Tensor",
        ends: "torch.Tensor | None" = None,
        played: Mapping[str, "torch.Tensor"] | None = None,
    ) -> "torch.Tensor | None":
        """Tell what may be shown, on the users' device.

        :param users: (B,) int64 rows of the user table.
        :param ends: (B,) int64 places before which histories end; None for whole histories.
        :param played: what a session has added to the log, ``Key.HISTORY`` and ``Key.SHOWN``, both
            (B, S) int64 with 0 in any place. Without it the session so far is that of the log.
        :returns: (B, N + 1) bool; None where everything may be shown.
        """
        import torch

        if not self.restricts:
            return None
        rows = users.cpu().numpy()
        places = self.log.offsets[rows + 1] if ends is None else ends.cpu().numpy()
        if self.by_history:
            session = {name: table.cpu().numpy() for name, table in (played or {}).items()}
            mask = self._by_history(rows, places, session)
        elif ends is None:
            mask = eligible(self.store, rows)
        else:
            mask = eligible(self.store, self.store.users[rows], self._moments(rows, places))
        return None if mask is None else torch.from_numpy(mask).to(users.device)

    def _moments(self, rows: Integers, ends: Integers) -> Integers:
        """When the events happened at which histories end, (B,) milliseconds since 1970 UTC."""
        log = self.log
        last = log.offsets[rows + 1] - 1
        seen = log.times[np.minimum(ends, last)] if len(log.times) else 0
        return np.where(last < log.offsets[rows], self.store.times.max(), seen)

    def _by_history(
        self,
        rows: npt.NDArray[np.int64],
        ends: npt.NDArray[np.int64],
        played: Mapping[str, npt.NDArray[np.int64]],
    ) -> npt.NDArray[np.bool_] | None:
        log, begins = self.log, self.log.offsets[rows]
        known = {Key.HISTORY: padded(log.items, begins, ends)}
        known[Key.TIME] = padded(log.times, begins, ends)
        if log.feedback is not None:
            known[Key.FEEDBACK] = padded(log.feedback, begins, ends)
        if played:
            taken = played[Key.HISTORY]
            known = {n: np.hstack([t, 0 * taken]) for n, t in known.items()}
            known[Key.HISTORY][:, -taken.shape[1] :] = taken
            order = np.argsort(known[Key.HISTORY] != PADDING, axis=1, kind="stable")
            known = {n: np.take_along_axis(t, order, 1) for n, t in known.items()}
            known |= {Key.SO_FAR: (taken != PADDING).sum(1), Key.SHOWN: played[Key.SHOWN]}
        else:
            known[Key.SO_FAR] = log.so_far(self.store.without_cold, ends)
        return eligible(self.store, self.store.users[rows], self._moments(rows, ends), known)
