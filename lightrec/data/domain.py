"""Domains: what lightrec needs to know about a field of use, and what that forbids to show."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from lightrec import plugins
from lightrec.data.store import EventStore, Integers
from lightrec.errors import PluginError
from lightrec.keys import Column

if TYPE_CHECKING:
    import torch

Showable: TypeAlias = Callable[["torch.Tensor"], "torch.Tensor | None"]
"""From users (B,) to what may be shown to them, (B, N + 1) bool; None where everything may be."""

NEGATIVE: Final = frozenset(
    re.findall(
        r"\w+",
        "return returned refund refunded cancel canceled cancelled cancellation skip skipped "
        "dislike disliked dismissed thumbsdown downvote hide hidden notinterested reject rejected "
        "block blocked storno storniert stornierung retoure rückgabe rückerstattung widerruf "
        "retour remboursement annulation annulé annulée devolución devuelto reembolso cancelado "
        "cancelación reso rimborso annullato devolução 退货 退款 取消",
    )
)
"""Kinds of feedback, without case and punctuation, of worth -1 where nobody says another: what was
taken back or disliked, in the languages in which columns are recognised."""
SHOWN: Final = frozenset({"impression", "impressions"})
"""Kinds of worth 0, which say no more than that an item was shown."""
ON_THE_WAY: Final = 0.1
"""The worth of an event that is not of the goal, where nobody says another."""


def plain(kind: str) -> str:
    """Write a kind of feedback without case and punctuation, as in :data:`NEGATIVE`."""
    return re.sub(r"[\W_]", "", kind.lower())


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
    """How long an item is eligible after it was created, which its attribute `created` says, or
    else after its first event in the log."""
    disclaimer: str = ""
    """A sentence that stands at the top of the report and above recommendations."""

    def text(self, items: pl.DataFrame) -> pl.Series:
        """Describe items in words, as :attr:`words` says.

        :param items: a catalog: ``item``, ``title`` and any attributes.
        :returns: one string per item, in the same order; empty if nothing is known.
        """
        forms = self.words
        if forms is None:
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

    def eligible(
        self, users: pl.DataFrame, items: pl.DataFrame, time: pl.Series
    ) -> npt.NDArray[np.bool_] | None:
        """Which items may be shown to which users; a forbidden item is never shown.

        Recommendations, policies and baselines in user models, the ranking of held-out events and
        drawn choice sets all obey it. A list is shortened, or left empty, rather than filled with a
        forbidden item.

        The method is called for batches of users, so a user's row must not depend on the others. A
        log may lack a column, and values may be null. A person who is not in the log has no id,
        and null in place of every value that nobody gave: forbid what you would not show to a
        stranger.

        :param users: U rows of the prepared log's user table: ``user`` and any attributes.
        :param items: the prepared log's N items in their order: ``item``, ``title``, ``text`` and
            any attributes.
        :param time: U datetimes in UTC at which items are to be shown to the users; null in a log
            without times.
        :returns: ``(U, N)`` bool, False for what may not be shown; None where everything may be.
        """
        return None

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
        """Whether the domain writes a made-up log of its own."""
        return type(self).synthetic is not Domain.synthetic

    def sample(self) -> Path | None:
        """Fetch the domain's sample log and return its folder, or None if it has none.

        :raises FetchError: if the sample cannot be fetched.
        """
        return None

    def synthetic(self, folder: Path, seed: int) -> Path | None:
        """Write a made-up log of the domain, which `--offline` uses; needs no network.

        :param folder: an empty folder to write into.
        :returns: a path that a reader recognises; None: `--offline` uses the world ``far``.
        """
        return None


def with_texts(domain: Domain, items: pl.DataFrame) -> pl.DataFrame:
    """Fill the empty texts of a catalog with the domain's words.

    :raises PluginError: if the domain fails, or does not give one string an item.
    """
    count = items.height
    with plugins.blaming(domain, f"put {count} items into words"):
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
        f"`text` of {plugins.provider(domain)} gave {fault} for {count} items; expected is a "
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
    store: EventStore, users: Integers | pl.DataFrame, time: datetime | Integers | None = None
) -> npt.NDArray[np.bool_] | None:
    """The items that may be shown to some users.

    :param users: ``(B,)`` rows of the user table, each at the time of the user's last event; or B
        people as in the user table, all at the time of the log's last event.
    :param time: when people are to be shown them, in place of the log's last event; or (B,) such
        times, in milliseconds since 1970 UTC.
    :returns: ``(B, N + 1)`` bool; column 0 is False. None where everything may be shown.
    :raises PluginError: if the domain is not installed, fails, or returns something else.
    """
    domain = domain_of(store)
    if not domain.restricts:
        return None
    if isinstance(users, pl.DataFrame):
        now = int(time.timestamp() * 1000) if isinstance(time, datetime) else time
        table, times = users, np.broadcast_to(store.times.max() if now is None else now, len(users))
    else:
        table, ends = store.users[users], store.offsets[users + 1]
        last = ends > store.offsets[users]
        times = np.where(last, store.times[ends - 1], store.times.max())
    shape = (table.height, store.num_items)
    moments = pl.Series("time", times if store.has_times else [None] * len(times), pl.Int64)
    with plugins.blaming(domain, f"say which of {shape[1]} items may be shown to {shape[0]} users"):
        mask = domain.eligible(table, store.catalog, moments.cast(pl.Datetime("ms", "UTC")))
    if domain.lifetime is not None and store.has_times:
        lifetime = domain.lifetime // timedelta(milliseconds=1)
        alive = times[:, None] - lifetime <= store.first_seen
        mask = alive if mask is None else mask & alive
    if mask is None:
        return None
    if not isinstance(mask, np.ndarray) or mask.dtype != bool or mask.shape != shape:
        what = f"{mask.dtype} {mask.shape}" if isinstance(mask, np.ndarray) else repr(mask)[:80]
        raise PluginError(
            f"`eligible` of {plugins.provider(domain)} gave {what}; expected is None or a numpy "
            f"array of bool, one row a user and one column an item, here {shape}."
        )
    return np.pad(mask, ((0, 0), (1, 0)))


def showable(store: EventStore) -> Showable:
    """A function from users to the items that may be shown to them, on the users' device.

    :raises PluginError: at once, if the domain forbids items and is not installed.
    """
    import torch  # only models call this

    domain_of(store)

    def allowed(users: "torch.Tensor") -> "torch.Tensor | None":
        mask = eligible(store, users.cpu().numpy())
        return None if mask is None else torch.from_numpy(mask).to(users.device)

    return allowed
