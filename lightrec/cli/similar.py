"""`lightrec similar`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from lightrec.cli.recommend import render
from lightrec.errors import RecipeError


def similar(
    run: Path,
    item: str,
    *,
    k: int = 10,
    by: Literal["both", "words"] = "both",
    exclude: Sequence[str] = (),
    only: Sequence[str] = (),
) -> None:
    """List the items that are like an item.

    examples:
      lightrec similar runs/video "Toy Story"
      lightrec similar runs/video "Toy Story" --by words
      lightrec similar runs/video Fargo --only genres=Comedy -k 5

    --exclude and --only take what they take in `lightrec recommend`.

    :param run: a run folder, such as runs/video; a ranker is enough.
    :param item: a title or an item id.
    :param k: how many items.
    :param by: both what people choose near each other and the texts, or the words of the texts
        alone. Of an item without events the words alone speak.
    :param exclude: never these.
    :param only: nothing but these.
    """
    if k < 1:
        raise RecipeError(f"-k must be at least 1, not {k}.")
    from lightrec.recommend import Recommender

    recommender = Recommender(run, "blend")
    print(render(recommender.similar(item, k=k, by=by, exclude=exclude, only=only)))
