"""The content of requests and answers, as OpenAPI shows it."""

from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from lightrec import plugins
from lightrec_serve.tables import OUTSIDE

PLAIN = r"^[^\x00]*$"
"""Texts that databases store."""
Name = Annotated[str, StringConstraints(min_length=1, max_length=300, pattern=PLAIN)]
"""An id or a title."""
Text = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=PLAIN)]


def _moment(time: datetime) -> datetime:
    if not 1970 <= time.year < 9999:
        raise ValueError("a time should be of the years 1970 to 9998")
    return time if time.tzinfo else time.replace(tzinfo=UTC)


Moment = Annotated[datetime, AfterValidator(_moment)]
"""A time; without a zone it is UTC."""
Plain = str | float | int | bool | None | Annotated[list[str], Field(max_length=1000)]
"""A value of an attribute."""
Flag = Annotated[bool, Field(strict=True)]
MOST: Final = 100
"""Conditions of a request, or attributes of a person, at most."""


NOT_OUTSIDE: Final = rf"^[^\x00{OUTSIDE}][^\x00]*$"
SessionName = Annotated[str, StringConstraints(min_length=1, max_length=300, pattern=NOT_OUTSIDE)]
"""The name of a session; events that come without one have another one's."""
Many = Annotated[list[Name], Field(max_length=100_000, fail_fast=True)]
"""Names whose number the service limits; the first wrong one ends the reading."""
ONE: Final = BeforeValidator(
    lambda given: [given] if isinstance(given, str) else given,
    json_schema_input_type=list[Name] | Name,
)
"""One name stands for itself, as in Python."""
Names = Annotated[list[Name], ONE]
User = Annotated[
    Name,
    BeforeValidator(
        lambda given: str(given) if type(given) is int else given, json_schema_input_type=Name | int
    ),
]


Few = BeforeValidator(
    lambda given: dict(islice(given.items(), 11 * MOST)) if isinstance(given, dict) else given
)
"""A long object is cut before it is refused: each of its entries could make an error."""


def _ranker(name: str) -> str:
    rankers = plugins.installed().parts["rankers"]
    if name not in rankers:
        raise ValueError(f"nothing ranks by {name!r}; there are {', '.join(rankers)}")
    return name


Ranker = Annotated[Name, AfterValidator(_ranker)]
"""A ranker: a value of ``lightrec recommend --by``."""


def _attributes(values: dict[str, Any]) -> dict[str, Any]:
    if fixed := {"item", "title", "text"} & values.keys():
        raise ValueError(f"{min(fixed)} stands beside the attributes, not among them")
    return values


class Strict(BaseModel):
    """A request: what it does not know, it refuses."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Ask(Strict):
    """Whom a slate is for, what it may hold, and how it is chosen."""

    user: User | None = Field(None, description="A user of the log, or a new one.", examples=["42"])
    session: SessionName | None = Field(
        None, description="The session that an answer named; without one, a new session begins."
    )
    history: Annotated[Many, ONE] = Field(
        [],
        description="Titles or item ids, oldest first, after what the log knows of the user; kept "
        "for the session's later requests that give none.",
    )
    profile: Annotated[dict[Name, Plain], Few] | None = Field(
        None,
        max_length=MOST,
        description="Attributes of a person who is not in the log; kept as history is.",
    )
    ask: Text | None = Field(None, description="A request in words.", examples=["slow crime story"])
    k: int = Field(10, ge=1, strict=True, description="How many items at most.")
    exclude: Names = Field(
        [], max_length=MOST, description="Titles, item ids or conditions on attributes."
    )
    only: Names = Field([], max_length=MOST, description="As exclude, for what alone may come.")
    candidates: Many | None = Field(None, description="The ids of all items that may come.")
    discover: Flag = Field(False, description="Nothing that the person has seen before.")
    more: Flag = Field(False, description="The next page: nothing that the session has shown.")
    new: int = Field(0, ge=0, strict=True, description="Last places kept for items without events.")
    time: Moment | None = Field(
        None,
        description="When the slate is shown, by which the field says what may be; else as the "
        "service was started, usually the time of the log's last event.",
    )
    by: Ranker | None = Field(
        None, description="What ranks, in place of what the run's evaluation favours."
    )
    arm: Name | None = Field(None, description="The arm of the experiment, in place of one drawn.")
    explore: Flag = Field(False, description="Draw the slate, and log its propensities.")
    explain: Flag = Field(False, description="Say why each item came.")
    trial: Flag = Field(
        False,
        description="Whether somebody only tries the service: a session that begins so is kept out "
        "of logs and numbers, and counts for no person.",
    )


class Why(Strict):
    """An item of a session's slates that is to be explained."""

    session: SessionName
    item: Name
    history: Many = Field([], description="What the request for the slate gave.")
    k: int = Field(10, ge=1, description="An item comes if it is among so many.")
    exclude: Names = Field([], max_length=MOST, description="What the request for the slate gave.")
    only: Names = Field([], max_length=MOST, description="What the request for the slate gave.")
    time: Moment | None = Field(None, description="What the request for the slate gave.")
    by: Ranker | None = None


class Shown(BaseModel):
    """A place of a slate."""

    rank: int
    item: str
    title: str
    text: str = Field(description="The item in words; empty where nothing is known.")
    score: float | None
    propensity: float | None = Field(
        description="The probability of this item here, given the places before; 1 if not drawn."
    )
    image: str | None = Field(default=None, description="A picture, of the items' column `image`.")
    pinned: bool = Field(default=False, description="Whether a standing rule keeps the place.")
    why: list[str] = Field(
        default=[], description="Titles of past events that speak for it, best first."
    )
    without: list[float] = Field(
        default=[], description="The share of its likelihood that is left without each of these."
    )


class Slate(BaseModel):
    """An answer."""

    answer: str = Field(description="The answer's id, which feedback names.")
    session: str
    arm: str
    by: str = Field(description="What ranked.")
    note: str = Field(default="", description="What there is to say, such as a field's disclaimer.")
    degraded: bool = Field(
        default=False,
        description="Whether the store could not be asked: what was done of late may not count.",
    )
    items: list[Shown]


class Event(Strict):
    """An event of somebody."""

    id: Name = Field(description="Your own id of the event: sent twice, it counts once.")
    session: SessionName | None = Field(None, description="The session that an answer named.")
    user: User | None = Field(
        None, description="Whose event it is, where it comes from outside all sessions."
    )
    item: Name = Field(description="An item's id.")
    answer: Name | None = Field(None, description="The answer in which the item was shown.")
    kind: Annotated[str, StringConstraints(pattern=r"^[\w .-]{1,60}$")] = Field(
        "accepted",
        description="accepted, dismissed, or a kind of feedback of the log; no other one where "
        "the log has several.",
    )
    value: float | None = Field(None, strict=True, description="Such as a rating or seconds.")
    time: Moment | None = Field(None, description="When it happened; else the present.")

    @model_validator(mode="after")
    def _has_one(self) -> "Event":
        if (self.session is None) == (self.user is None):
            raise ValueError("an event names its session, or its user where it has none")
        if self.session is None and self.answer is not None:
            raise ValueError("an event that names an answer names the answer's session, too")
        return self


class Feedback(Strict):
    """Events, oldest first."""

    events: list[Event] = Field(min_length=1, max_length=1000)


class Stored(BaseModel):
    """How many events are stored for good."""

    stored: int
    known: int = Field(description="Events that had been sent before, and count once.")
    waiting: int = Field(default=0, description="Events kept on a disk until the store is there.")


class Wrong(Strict):
    """Events of a session that are to be erased."""

    session: Name
    ids: list[Name] = Field(min_length=1, max_length=1000)


class Item(Strict):
    """A new item, or an item that is put again."""

    item: Name
    title: Name | None = None
    text: Annotated[str, StringConstraints(max_length=5000, pattern=PLAIN)] | None = Field(
        None, description="The item in words; else the field's words for its attributes."
    )
    attributes: Annotated[dict[Name, Plain], Few, AfterValidator(_attributes)] = Field(
        {}, max_length=10 * MOST
    )


class Person(Strict):
    """Attributes of a person, in place of earlier ones."""

    user: User
    attributes: Annotated[dict[Name, Plain], Few, Field(min_length=1, max_length=MOST)]


class People(Strict):
    """People to put."""

    users: list[Person] = Field(min_length=1, max_length=1000)


class Known(BaseModel):
    """An item as it is served."""

    item: str
    title: str
    text: str
    attributes: dict[str, Any]


class Past(BaseModel):
    """An event of a person in the log."""

    item: str
    title: str
    kind: str | None
    time: datetime | None


class Items(Strict):
    """Items to put."""

    items: list[Item] = Field(min_length=1, max_length=1000)


class Gone(Strict):
    """Ids of items that may not be shown any more."""

    items: list[Name] = Field(min_length=1, max_length=1000)


class Problem(BaseModel):
    """Sentences on what was wrong."""

    error: str


class Ready(BaseModel):
    """The arms that answer."""

    status: Literal["ok", "loading"] = "ok"
    store: Literal["ok", "down"] = Field(
        default="ok", description="Lists are answered without the store, too, and say so."
    )
    waiting: int = Field(default=0, description="Events of feedback that wait for the store.")
    arms: dict[str, dict[str, Any]] = {}
