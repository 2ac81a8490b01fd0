"""A policy of recipes moved to artists, in the artists' user model: a cell of `transfer`.

``python -m benchmarks.transfer_policies OUT LOG ITEMS LOG ITEMS SEED`` takes the log and the items
of the source, and then those of the target. The policy reads the ranker's user vector, and no
utilities. All contenders play the same sessions in user model B.
"""

import json
import sys
from pathlib import Path

from benchmarks.transfer import PREPARED, WORDS
from lightrec.__main__ import main as lightrec
from lightrec.evaluation.arena import arena
from lightrec.evaluation.base import keys_of
from lightrec.intervals import mean_interval
from lightrec.stages.run import run

SESSIONS = 1_000
SMALL = ["--model.init_args.sessions=256", "--trainer.max_epochs=3"]
POLICY = "--data.init_args.policy.init_args."
READS = [f"{POLICY}use_utilities=false", f"{POLICY}size=32"]
PLAYERS = {
    "popularity": "popularity",
    "greedy": "the ranker",
    "anew": "policy trained anew",
    "policy": "policy, moved",
    "trained": "policy, moved and trained",
}
PAIRS = (("policy", "greedy"), ("trained", "anew"), ("anew", "greedy"))
"""What is compared, session by session."""


def measured(out: Path, recipes: list[Path], artists: list[Path], seed: int) -> dict[str, float]:
    """Train, move, and play."""
    shared = {"text": ["--model.init_args.tune=none"], "data": PREPARED}
    given = {"until": "policy", "seed": seed}
    settings = {**shared, "ranker": WORDS, "policy": [*READS, *SMALL]}
    log, items = recipes
    source = run("generic", out=out / "a", log=log, items=items, overrides=settings, **given)
    log, items = artists
    settings = {**shared, "policy": ["--trainer.max_epochs=0"]}
    target = run(
        "generic",
        out=out / "b",
        log=log,
        items=items,
        start_from=source,
        overrides=settings,
        **given,
    )
    moved = [f"--model.init_args.continues={source / 'policy'}"]
    for name, more in {"anew": [], "trained": moved}.items():
        words = ["fit", "-c", "generic/policy", "--out", str(target / name), *READS, *SMALL]
        if status := lightrec([*words, f"--seed_everything={seed}", *more]):
            raise SystemExit(status)
    users = arena(str(target), SESSIONS, seed, {"max_steps": 40})
    names = {name: name for name in PLAYERS} | {n: str(target / n) for n in ("anew", "trained")}
    played = {name: users.play(users.policy(w), SESSIONS, seed) for name, w in names.items()}
    metrics = {f"{name}/accepted": float(own.accepted.mean()) for name, own in played.items()}
    for one, other in PAIRS:
        ahead = (played[one].accepted - played[other].accepted).mean(0)
        metrics |= keys_of(f"{one}-minus-{other}/accepted", mean_interval(ahead))
    return metrics


if __name__ == "__main__":
    place, *paths = map(Path, sys.argv[1:6])
    made = measured(place, paths[:2], paths[2:], int(sys.argv[6]))
    (place / "metrics.json").write_text(json.dumps(made))
