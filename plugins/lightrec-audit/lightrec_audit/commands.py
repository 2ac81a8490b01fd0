"""`lightrec explain`, `judge` and `probe`: why an item comes, and what simulated sessions prove."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from lightrec.cli.command import with_options_of
from lightrec.cli.play import Mode, Model, OneMode, Policies, Seed, Sessions, Settings, Simulator
from lightrec.cli.recommend import recommend
from lightrec.errors import RecipeError

Files = Annotated[Sequence[Path], "also write the tables to FILE.md, or all numbers to FILE.json"]


@with_options_of(recommend, but="history profile ask all k discover new explore seed before out")
def explain(
    run: Path,
    *,
    history: list[str] | None = None,
    item: str | None = None,
    k: int = 10,
    out: Path | None = None,
    **asked: Any,
) -> None:
    """Explain why an item comes: past events, words, the reward, what would change it.

    examples:
      lightrec explain runs/video --user 42
      lightrec explain runs/video --user 42 --item "Fargo" --by policy
      lightrec explain runs/video --history "Toy Story" "Fargo" --only genres=Comedy
      lightrec explain runs/video --user 42 --out reasons.html
      lightrec explain runs/video --user 42 --out reasons.json

    :param run: a run folder, such as runs/video.
    :param history: titles or item ids, oldest first: of a new person, or with --user what came
        after that user's events in the log.
    :param item: a title or an item id; by default the first of the list.
    :param k: how many items come; an item further down does not.
    :param out: a .html page or a .json file; by default the explanation is printed.
    """
    if k < 1:
        raise RecipeError(f"-k must be at least 1, not {k}.")
    if out is not None and out.suffix not in (".html", ".json"):
        raise RecipeError(f"--out must end in .html or .json, not {out.name}.")

    from lightrec.recommend import Recommender
    from lightrec_audit import explain as explaining
    from lightrec_audit import explanation

    recommender = Recommender(run, asked.pop("by"))
    if disclaimer := recommender.run.domain.disclaimer:
        print(disclaimer, file=sys.stderr)
    result = explaining.explain(recommender, **asked, history=history, item=item, k=k)
    if out is None:
        print(explanation.text_of(result), end="")
        return
    page = out.suffix == ".html"
    text = explanation.page_with(result, recommender.run) if page else result.json()
    out.write_text(text, encoding="utf-8")
    print(out)


def judge(
    simulators: Annotated[Sequence[str], "runs, user models of runs, or worlds with settings"],
    *,
    policy: Policies,
    sessions: Sessions = 1000,
    seed: Seed = 0,
    modes: Sequence[Mode] = ("free", "no-repeats", "fixed"),
    over: str | None = None,
    out: Files = (),
) -> None:
    """Judge policies in several simulators and three modes.

    It says what they earn, what of that comes from longer sessions, and what is left of it in a
    simulator that they never saw.

    examples:
      lightrec judge runs/video --policy policy greedy
      lightrec judge runs/video --policy policy --modes free --out judged.md judged.json
      lightrec judge Greed Greed:slate_size=3 --policy random oracle --over random
      lightrec judge runs/a/users_a runs/b/users_b --policy runs/a/policy@A runs/b/policy

    A simulator is a run, which stands for its user models A and B; one of its user models, such as
    runs/video/users_b; or a world, with settings after a colon. In the tables they are called A, B
    and so on, in their order. A saved policy is named by its folder; @A says that it was trained in
    simulator A, which is known of a run's own policy. Next to the policies stand random, the best
    that is known (a world's oracle, or the best of greedy, constant and popularity), and what
    --over names.

    :param modes: free: the simulator's own rules; no-repeats: nothing is shown twice in a session;
        fixed: nobody leaves.
    :param over: over whom advantages are taken (default: greedy where it is known, else random).
    """
    _check(sessions, out)

    from lightrec_audit.judge import judge_all, markdown, places_of

    places = [place for text in simulators for place in places_of(text)]
    if len(places) > 26:
        raise RecipeError(f"{len(places)} simulators were named; judge at most 26 at once.")
    judgement = judge_all(places, policy, modes, sessions, seed, over=over)
    _show(markdown(judgement), judgement.plain(), out)


def probe(
    what: Simulator,
    *,
    policy: Policies = (),
    sessions: Sessions = 1000,
    seed: Seed = 0,
    model: Model = "users_b",
    mode: OneMode = "free",
    set: Settings = (),
    out: Files = (),
) -> None:
    """Find out whether a simulator pays for what no real user would reward.

    examples:
      lightrec probe Greed
      lightrec probe Greed --mode fixed --set slate_size=3
      lightrec probe runs/video --policy policy greedy --out probed.md probed.json

    The best action that is the same for everybody is searched (a list of items, one item where it
    may be shown again and again, or what else a simulator takes), and played next to random ones, a
    world's oracle and the policies that are named. The rule by which a simulator has a hole stands
    in the documentation: docs/how-to/judge.md.
    """
    _check(sessions, out)

    from lightrec.evaluation.simulation import simulation
    from lightrec.settings import setting
    from lightrec_audit import probe as probes
    from lightrec_audit.judge import to_plain

    on = simulation(what, sessions, seed, dict(map(setting, set)), model)
    result = probes.probe(on, policy, mode, sessions, seed)
    _show(result.markdown(), to_plain(result), out)


def _check(sessions: int, out: Sequence[Path]) -> None:
    """Refuse what cannot be done before any work is done."""
    if sessions < 2:
        raise RecipeError(f"--sessions must be at least 2, not {sessions}.")
    for path in out:
        if path.suffix not in (".md", ".json"):
            raise RecipeError(f"--out writes files that end in .md or .json, and not {path}.")


def _show(text: str, values: object, out: Sequence[Path]) -> None:
    """Print tables, and write them and what they are made of."""
    print(text, end="")
    for path in out:
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = json.dumps(values, indent=2) + "\n" if path.suffix == ".json" else text
        path.write_text(whole, encoding="utf-8")
