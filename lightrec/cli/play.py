"""`lightrec simulate`: policies play. `judge` and `probe` of lightrec-audit take its options."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from lightrec.errors import RecipeError

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
      lightrec simulate Greed --policy random constant --sessions 200
      lightrec simulate Greed --policy oracle --mode fixed --set slate_size=3
      lightrec simulate runs/video --policy policy greedy random
      lightrec simulate Greed --policy random --sessions 10000 --out greed_log
      lightrec run generic --log greed_log
      lightrec simulate Tastes --policy runs/tastes --set drift=0.1 day=1 --out day-1

    Worlds know random, greedy where they say what is liked now, constant (the best list found for
    everybody, with lightrec-worlds) and oracle. A run knows policy, greedy (by its ranker alone),
    blend, user-model-a, even-mixture, constant, popularity, random and epsilon-greedy, and is
    played in its user model B. A saved policy is named by its folder, a plugin's by its short name,
    with settings after a colon. A run's folder stands for its blend, where its log names the same
    items. `lightrec plugins list` names the simulators and policies, `lightrec plugins show Greed`
    their settings.

    :param draw: draw slates instead of showing what scores highest.
    :param out: write the sessions of one policy, drawn, as a log into a folder.
    """
    if sessions < 1:
        raise RecipeError(f"--sessions must be at least 1, not {sessions}.")
    if out is not None and len(policy) != 1:
        raise RecipeError(f"--out writes the sessions of one policy, and {len(policy)} were named.")
    if out is not None and out.exists():
        raise RecipeError(f"{out} is there already. Remove it, or name another folder.")

    from lightrec.evaluation.simulation import simulation, table
    from lightrec.settings import setting

    on = simulation(what, sessions, seed, dict(map(setting, set)), model).in_mode(mode)
    if out is not None:
        print(table({policy[0]: on.write_log(policy[0], sessions, seed, out)}))
        print(f"{out}: read it with `lightrec run {on.domain} --log {out}`")
        return
    players = {name: on.policy(name) for name in policy}
    play = partial(on.play, sessions=sessions, seed=seed, deterministic=not draw)
    print(table({name: play(player) for name, player in players.items()}))
