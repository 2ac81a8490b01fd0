"""`lightrec reasons`: why items come."""

import sys
from collections.abc import Sequence
from pathlib import Path

from lightrec.errors import RecipeError


def reasons(
    run: Path,
    *,
    user: str | None = None,
    history: list[str] | None = None,
    k: int = 5,
    by: str | None = None,
    exclude: Sequence[str] = (),
    only: Sequence[str] = (),
    events: int = 2,
    out: Path | None = None,
) -> None:
    """Recommend, and say in a sentence for which past events each item comes.

    examples:
      lightrec reasons runs/video --user 42
      lightrec reasons runs/video --history "Toy Story" "Fargo" --only genres=Comedy
      lightrec reasons runs/video --user 42 --out reasons.json

    An event is named where it speaks for the item and the item would be less likely without it.
    Where no event stands out, the sentence says that.

    :param run: a run folder, such as runs/video.
    :param user: a user id of the log.
    :param history: titles or item ids, oldest first, as in `lightrec recommend`.
    :param k: how many items.
    :param by: what ranks, as in `lightrec recommend`.
    :param exclude: nothing that is one of these, as in `lightrec recommend`.
    :param only: nothing but what is one of these.
    :param events: at most so many events are named for an item, never more than three.
    :param out: a .json file, which also gets the numbers.
    """
    if out is not None and out.suffix != ".json":
        raise RecipeError(f"--out must end in .json, not {out.name}.")
    if user is None and history is None:
        raise RecipeError("Say whose list is meant: give a user of the log or a history.")

    from lightrec.recommend import Recommender
    from lightrec_generate import reasons as words

    recommender = Recommender(run, by)
    if disclaimer := recommender.run.domain.disclaimer:
        print(disclaimer, file=sys.stderr)
    answers = words.reasons(
        recommender, user, history=history, k=k, exclude=exclude, only=only, events=events
    )
    if out is not None:
        out.write_text(words.as_json(answers), encoding="utf-8")
        print(out)
        return
    for reason in answers:
        print(f"{reason.rank:>2}. {reason.text}")
