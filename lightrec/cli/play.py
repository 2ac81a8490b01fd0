"""`lightrec simulate`, `judge` and `probe`: policies play, and their options are the same."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from lightrec.errors import RecipeError

if TYPE_CHECKING:
    from lightrec.evaluation.judge import Place

MODELS = ("users_a", "users_b")
Simulator = Annotated[str, "an installed simulator's name, or a run folder such as runs/video"]
Policies = Annotated[
    Sequence[str],
    "policies: words that the simulator knows, installed ones such as Habit:strength=2, or folders",
]
Sessions = Annotated[int, "sessions of each policy"]
Seed = Annotated[int, "seed of all chance"]
Model = Annotated[Literal["users_a", "users_b"], "which user model of a run"]
Mode = Literal["free", "no-repeats", "fixed"]  # of simulators.session_env, without importing it
OneMode = Annotated[
    Mode,
    "of judging: the simulator's own rules, nothing shown twice in a session, or nobody leaves",
]
Settings = Annotated[Sequence[str], "settings of the simulator, each NAME=VALUE"]
Files = Annotated[Sequence[Path], "also write the tables to FILE.md, or all numbers to FILE.json"]


def simulate(
    what: Simulator,
    *,
    policy: Policies = ("random",),
    sessions: Sessions = 1000,
    seed: Seed = 0,
    model: Model = "users_b",
    mode: OneMode = "free",
    draw: bool = False,
    set: Settings = (),
    out: Path | None = None,
) -> None:
    """Roll policies in a simulator of users: what they earn, and for how long.

    examples:
      lightrec simulate Greed --policy random oracle --sessions 1000
      lightrec simulate Greed --policy random constant linucb --sessions 200
      lightrec simulate Greed --policy oracle --mode fixed --set slate_size=3
      lightrec simulate runs/video --policy policy greedy random
      lightrec simulate Greed --policy random --sessions 10000 --out greed_log
      lightrec run generic --log greed_log
      lightrec simulate Tastes --policy runs/tastes --set drift=0.1 day=1 --out day-1

    Worlds know random, greedy where they say what is liked now, constant (the best list found for
    everybody, with lightrec-worlds), epsilon-greedy, linucb, thompson and oracle. A run knows
    policy, greedy (by its ranker alone), blend, user-model-a, even-mixture, constant, popularity,
    random, epsilon-greedy, linucb and thompson, and is played in its user model B; bandits learn
    in A. A saved policy is named by its folder, a plugin's by its short name, with settings after
    a colon. A run's folder stands for its blend, where its log names the same items. `lightrec
    plugins list` names the simulators and policies, `lightrec plugins show Greed` their settings.

    :param draw: draw slates instead of showing what scores highest.
    :param out: write the sessions of one policy, drawn, as a log into a folder.
    """
    _check(sessions, 1)
    if out is not None and len(policy) != 1:
        raise RecipeError(f"--out writes the sessions of one policy, and {len(policy)} were named.")
    if out is not None and out.exists():
        raise RecipeError(f"{out} is there already. Remove it, or name another folder.")

    from lightrec.evaluation.arena import arena, table
    from lightrec.settings import setting

    on = arena(what, sessions, seed, dict(map(setting, set)), model).in_mode(mode)
    if out is not None:
        print(table({policy[0]: on.write_log(policy[0], sessions, seed, out)}))
        print(f"{out}: read it with `lightrec run {on.domain} --log {out}`")
        return
    players = {name: on.policy(name) for name in policy}
    play = partial(on.play, sessions=sessions, seed=seed, deterministic=not draw)
    print(table({name: play(player) for name, player in players.items()}))


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
    _check(sessions, 2, out)
    places = [place for text in simulators for place in places_of(text)]
    if len(places) > 26:
        raise RecipeError(f"{len(places)} simulators were named; judge at most 26 at once.")

    from lightrec.evaluation.judge import judge_all, markdown

    found = judge_all(places, policy, modes, sessions, seed, over=over)
    _show(markdown(found), found.plain(), out)


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
    _check(sessions, 2, out)

    from lightrec.evaluation import probe as probes
    from lightrec.evaluation.base import to_plain
    from lightrec.settings import setting

    found = probes.probe(what, policy, mode, sessions, seed, dict(map(setting, set)), model)
    _show(found.markdown(), to_plain(found), out)


def places_of(text: str) -> "list[Place]":
    """Read a simulator's name: ``Greed``, ``Greed:seed=1,max_steps=20``, ``runs/video``.

    :returns: two for a run, its user models A and B.
    :raises RecipeError: where a setting is not of that form.
    """
    from lightrec.evaluation.judge import Place
    from lightrec.settings import with_settings

    what, settings = with_settings(text)
    path = Path(what)
    if path.name in MODELS and (path.parent / "data").is_dir():
        return [Place(str(path.parent), settings, path.name)]
    if path.is_dir():
        return [Place(what, settings, model) for model in MODELS]
    return [Place(what, settings)]


def _check(sessions: int, least: int, out: Sequence[Path] = ()) -> None:
    """Refuse what cannot be done before any work is done."""
    if sessions < least:
        raise RecipeError(f"--sessions must be at least {least}, not {sessions}.")
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
