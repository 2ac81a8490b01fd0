"""`lightrec rules`: a run's standing rules, shown, checked and changed."""

from pathlib import Path


def rules(run: Path, *, set: list[str] | None = None) -> None:
    """Show, check or change the standing rules of a run, which need no training.

    examples:
      lightrec rules runs/shop
      lightrec rules runs/shop --set "in_stock=stock>0" "tie_break={by: margin, within: 0.05}"
      lightrec rules runs/shop --set "at_most=[{per: category, places: 2}]"
      lightrec rules runs/shop --set "boosts=[{where: brand=Acme, times: 1.5}]"
      lightrec rules runs/shop --set "pins=[{item: Gift card, place: 1, people: country=DE}]"
      lightrec rules runs/shop --set table=stock.csv boosts=null

    The rules stand in rules.yaml in the run's folder, where they may as well be edited by hand.
    `recommend` and `serve` read them anew whenever they, or their table, have changed.

    :param run: a run folder, such as runs/shop.
    :param set: NAME=VALUE of rules to change, the values as YAML; null takes a rule away.
    """
    from lightrec.recommend import Recommender
    from lightrec.settings import setting

    recommender = Recommender(run, "blend")
    if set:
        changed = dict(setting(each) for each in set)
        if (table := changed.get("table")) and not Path(str(table)).is_absolute():
            changed["table"] = str(Path(str(table)).absolute())
        recommender.book.change(changed, recommender.catalog, recommender.store.item_kinds)
    found = recommender.rules
    if found is None:
        print(f"{run} has no standing rules: there is no {recommender.book.path}.")
        return
    print(recommender.book.path.read_text(encoding="utf-8").rstrip())
    print(*(f"# {line}" for line in found.account), sep="\n")
