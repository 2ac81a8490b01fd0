"""`lightrec recommend` and `similar`: lists from a finished run."""

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import polars as pl

from lightrec.data.files import new_file
from lightrec.errors import RecipeError
from lightrec.keys import Column

WITHOUT_HISTORY = {
    "attributes": "There is no history: ranked by what people with these attributes choose.",
    "popularity": "There is no history: items that are popular of late and differ from each other.",
    "wish": "There is no history: ranked by the request and by what people choose of late.",
}


def recommend(
    run: Path,
    *,
    user: str | None = None,
    history: list[str] | None = None,
    profile: list[str] | None = None,
    ask: str | None = None,
    all: bool = False,
    k: int = 10,
    by: str | None = None,
    exclude: Sequence[str] = (),
    only: Sequence[str] = (),
    discover: bool = False,
    new: int = 0,
    explore: float = 0.0,
    seed: int = 0,
    time: str | None = None,
    before: Literal["test"] | None = None,
    out: Path | None = None,
) -> None:
    """Recommend with a finished run what a person has not seen.

    examples:
      lightrec recommend runs/video --user 42 -k 10
      lightrec recommend runs/video --history "Toy Story" "Fargo"
      lightrec recommend runs/video --user 42 --history "Fargo"
      lightrec recommend runs/video --profile age=30 occupation=writer
      lightrec recommend runs/video --user 42 --ask "slow crime story with dark humour"
      lightrec recommend runs/video --user 42 --exclude "Star Wars" genres=Horror
      lightrec recommend runs/video --history "Fargo" --only "genres=Comedy and year>=1996"
      lightrec recommend runs/video --user 42 --new 2
      lightrec recommend runs/travel --user 42 --time now
      lightrec recommend runs/video --all --out recs.parquet
      lightrec recommend runs/video --all --before test --out recs.parquet

    --exclude and --only take titles, item ids, or conditions on attributes of the items, joined
    by and, or, not; put each in quotes. Titles need not be written exactly.

    :param run: a run folder, such as runs/video.
    :param user: a user id of the log or of the user table.
    :param history: titles or item ids, oldest first: of a new person, where none gives popular and
        varied items, or with --user what came after that user's events in the log.
    :param profile: ATTRIBUTE=VALUE of the user table, and of a list its members, as in
        'skills=first aid|welding': of a person who is not in the log, with a history or without,
        then what people with such attributes choose; or with --user in place of what the table
        says, as the field asks what may be shown.
    :param ask: a request in words, which the texts and attributes of items answer; with a history,
        without, or for everybody.
    :param all: everybody in the log and the user table; needs --out. The column ranked_by says
        whether a list goes by a history, by attributes or, where nothing is known, by popularity.
    :param k: how many items.
    :param by: what ranks: policy (the long run), blend (the next event), mixture of the blend with
        user model A, even-mixture of its transformer with A, ranker (its transformer alone), or
        another by an installed package; by default what the run's evaluation favours of the first
        four.
    :param exclude: nothing that is one of these.
    :param only: nothing but what is one of these.
    :param discover: nothing that the person has seen before, even where items come again.
    :param new: last places kept for items without events.
    :param explore: in place of --new: the probability of each place to be an item's without
        events.
    :param seed: of --explore's draws (default: 0).
    :param time: when the list is shown, by which the field says what may be: now, or a date or time
        such as 2026-11-30 (default: the time of the log's last event).
    :param before: with --all: recommend from what came before each user's test events, so that
        `lightrec evaluate --predictions` can judge the file.
    :param out: a .parquet or .csv file.
    """
    described = history is not None or profile is not None or (ask is not None and not all)
    new_person = user is None and described
    if (user is not None) + new_person + all != 1 or (all and history):
        raise RecipeError(
            "Say for whom: give --user, perhaps with --history of the last minute, or --all, or "
            "--history, --profile and --ask of a new person."
        )
    person = _profile(profile)
    if k < 1:
        raise RecipeError(f"-k must be at least 1, not {k}.")
    if all and out is None:
        raise RecipeError("--all writes a file: name it with --out, such as --out recs.parquet.")
    if ask is not None and by not in (None, "blend"):
        raise RecipeError(f"A request in words goes with the blend: leave out --by {by}.")
    if before and not all:
        raise RecipeError("--before goes with --all: it makes a file for everybody to be judged.")
    if out is not None and out.suffix not in (".parquet", ".csv"):
        raise RecipeError(f"--out must end in .parquet or .csv, not {out.name}.")

    from lightrec.evaluation.evidence import named
    from lightrec.recommend import Recommender

    recommender = Recommender(run, by)
    if disclaimer := recommender.run.domain.disclaimer:
        print(disclaimer, file=sys.stderr)
    if recommender.rules is not None and not before:
        print(f"The standing rules of {recommender.book.path} hold.", file=sys.stderr)
    wishes: dict[str, Any] = {"ask": ask, "k": k, "exclude": exclude, "only": only}
    wishes |= {"discover": discover, "new": new, "explore": explore, "seed": seed, "time": time}
    if out is not None and all:
        from tqdm.auto import tqdm

        lists = tqdm(recommender.recommend_all(**wishes, before=before), unit="batch")
        rows, kinds = write(lists, out)
        people = recommender.people
        count = recommender.store.num_users + len(people.outside.users) * (before is None)
        if left := count - sum(kinds.values()):
            print(f"For {left} users nothing is left that may be shown to them.", file=sys.stderr)
        by_kind = ", ".join(f"{kind} {users:,}" for kind, users in kinds.items())
        print(f"Lists of {sum(kinds.values()):,} users, ranked by {by_kind}.", file=sys.stderr)
    else:
        table = recommender.recommend(user, history=history, profile=person, **wishes)
    if recommender.ranked_by in WITHOUT_HISTORY and not all:
        print(WITHOUT_HISTORY[recommender.ranked_by], file=sys.stderr)
    elif ask is not None:
        print("Ranked by the request and the blend.", file=sys.stderr)
    elif by is None:  # why is said at the run's end and in its report
        print(f"Ranked by {named(recommender.by)}.", file=sys.stderr)
    if out is None:
        print(render(table))
    else:
        print(f"{out}: {rows if all else write([table], out)[0]} rows")


def _profile(said: Sequence[str] | None) -> dict[str, str] | None:
    """Read ATTRIBUTE=VALUE."""
    attributes = [each.partition("=") for each in said or ()]
    if wrong := [name for name, equals, _ in attributes if not equals]:
        raise RecipeError(f"--profile takes ATTRIBUTE=VALUE, such as age=30, and not {wrong[0]!r}.")
    return None if said is None else {name: value for name, _, value in attributes}


def write(tables: Iterable[pl.DataFrame], out: Path) -> tuple[int, Counter[str]]:
    """Write tables one after another, so that only one is held; the file appears whole.

    :param out: a .parquet or .csv file.
    :returns: the number of rows, and of users by what their lists are ranked by.
    """
    rows, writer, users = 0, None, Counter[str]()
    with new_file(out) as part, ExitStack() as stack:
        for number, table in enumerate(tables):
            if out.suffix == ".parquet":
                from pyarrow.parquet import ParquetWriter

                arrow = table.to_arrow()
                writer = writer or stack.enter_context(ParquetWriter(part, arrow.schema))
                writer.write_table(arrow)
            else:
                from lightrec.data.readers.predictions import escaped  # which imports PyArrow

                writer = writer or stack.enter_context(part.open("wb"))
                escaped(table).write_csv(writer, include_header=not number)
            rows += table.height
            if Column.USER in table.columns:
                users.update(table.unique(Column.USER)[Column.RANKED_BY].to_list())
    return rows, users


def render(table: pl.DataFrame) -> str:
    """Set recommendations as a table that fits a terminal."""
    from lightrec.data.languages import fitted, width

    columns = min(60, max([5, *map(width, table["title"])]))
    lines = [f"{'':>3}  {fitted('title', columns)}  {'score':>8}  id"]
    for rank, item, title, score in table.iter_rows():
        lines.append(f"{rank:>3}  {fitted(title, columns)}  {score:>8.3f}  {item}")
    return "\n".join(lines)


def similar(
    run: Path,
    item: str,
    *,
    k: int = 10,
    by: Literal["both", "words"] = "both",
    exclude: Sequence[str] = (),
    only: Sequence[str] = (),
    user: str | None = None,
    profile: Sequence[str] | None = None,
    time: str | None = None,
) -> None:
    """List the items that are like an item.

    examples:
      lightrec similar runs/video "Toy Story"
      lightrec similar runs/video "Toy Story" --by words
      lightrec similar runs/video Fargo --only genres=Comedy -k 5

    --exclude, --only, --user, --profile and --time are as in `lightrec recommend`. What the field
    forbids that person, or a new user where none is named, does not come.

    :param run: a run folder, such as runs/video; a ranker is enough.
    :param item: a title or an item id.
    :param k: how many items.
    :param by: both what people choose near each other and the texts, or the words of the texts
        alone. Of an item without events the words alone speak.
    :param exclude: never these.
    :param only: nothing but these.
    :param user: the person to whom they are to be shown.
    :param profile: ATTRIBUTE=VALUE of that person.
    :param time: when.
    """
    person = _profile(profile)
    if k < 1:
        raise RecipeError(f"-k must be at least 1, not {k}.")
    from lightrec.recommend import Recommender

    recommender = Recommender(run, "blend")
    if disclaimer := recommender.run.domain.disclaimer:
        print(disclaimer, file=sys.stderr)
    whom: dict[str, Any] = {"user": user, "profile": person, "time": time}
    print(render(recommender.similar(item, k=k, by=by, exclude=exclude, only=only, **whom)))
