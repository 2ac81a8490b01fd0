"""`lightrec explain`: why an item comes."""

import sys
from collections.abc import Sequence
from pathlib import Path

from lightrec.errors import RecipeError


def explain(
    run: Path,
    *,
    user: str | None = None,
    history: list[str] | None = None,
    item: str | None = None,
    k: int = 10,
    by: str | None = None,
    exclude: Sequence[str] = (),
    only: Sequence[str] = (),
    out: Path | None = None,
) -> None:
    """Explain why an item comes: past events, words, the reward, what would change it.

    examples:
      lightrec explain runs/video --user 42
      lightrec explain runs/video --user 42 --item "Fargo" --by policy
      lightrec explain runs/video --history "Toy Story" "Fargo" --only genres=Comedy
      lightrec explain runs/video --user 42 --out reasons.html
      lightrec explain runs/video --user 42 --out reasons.json

    :param run: a run folder, such as runs/video.
    :param user: a user id of the log.
    :param history: titles or item ids, oldest first: of a new person, or with --user what came
        after that user's events in the log.
    :param item: a title or an item id; by default the first of the list.
    :param k: how many items come; an item further down does not.
    :param by: what ranks, as in `lightrec recommend`.
    :param exclude: nothing that is one of these, as in `lightrec recommend`.
    :param only: nothing but what is one of these.
    :param out: a .html page or a .json file; by default the explanation is printed.
    """
    if k < 1:
        raise RecipeError(f"-k must be at least 1, not {k}.")
    if out is not None and out.suffix not in (".html", ".json"):
        raise RecipeError(f"--out must end in .html or .json, not {out.name}.")

    from lightrec import explain as explained
    from lightrec.recommend import Recommender
    from lightrec.report import explanation

    recommender = Recommender(run, by)
    if disclaimer := recommender.run.domain.disclaimer:
        print(disclaimer, file=sys.stderr)
    found = explained.explain(
        recommender, user, history=history, item=item, k=k, exclude=exclude, only=only
    )
    if out is None:
        print(explanation.text_of(found), end="")
        return
    page = out.suffix == ".html"
    text = explanation.page_with(found, recommender.run) if page else found.json()
    out.write_text(text, encoding="utf-8")
    print(out)
