"""`lightrec rules`: a run's standing rules, checked and shown."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightrec_rules.rules import Standing


def rules(run: Path) -> None:
    """Check the standing rules of a run, and say what they come to.

    example:
      lightrec rules runs/shop

    The rules stand in rules.yaml in the run's folder: stock, boosts, pins, limits and margin. Edit
    the file, and no training is needed: `recommend` and `serve` read it anew whenever it, or the
    table that it names, has changed.

    :param run: a run folder, such as runs/shop.
    """
    from lightrec.recommend import Recommender

    recommender = Recommender(run, "blend")
    path = recommender.book.path
    found: Standing | None = recommender.book.of(recommender.catalog, recommender.store.item_kinds)
    if found is None:
        print(f"{run} has no standing rules: write them into {path}.")
        return
    print(f"{path} can be used.", *found.account, sep="\n")
