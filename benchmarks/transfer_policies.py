"""A policy moved from films to artists, beside training anew: `make bench NAME=transfer_policies`.

Logs as published are read from the folder that ``--data`` or the variable LIGHTREC_TEST_DATA
names. The films are MovieLens-100K's, the artists Last.fm's: nothing but words is in common. The
ranker of films is trained on the artists for the rest of its way. The policy reads the vector that
this ranker makes of a history, and no utilities of a user model. All contenders play the same
sessions in user model B of the artists. ``--seeds 4,5`` takes other seeds than 3.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path
from statistics import fmean

from benchmarks.cells import Benchmark, data_folder, markdown, option
from benchmarks.language import write
from benchmarks.transfer import PREPARED, WORDS
from lightrec.evaluation.arena import arena
from lightrec.evaluation.base import keys_of, spread
from lightrec.intervals import mean_interval
from lightrec.stages.run import run

SESSIONS = 1_000
SOURCE, TARGET = "ml-100k", "lastfm"
SMALL = ["--model.init_args.sessions=256", "--trainer.max_epochs=5"]
READS = ["use_utilities=false", "size=32"]
PLAYERS = {
    "popularity": "popularity",
    "greedy": "greedy by the ranker",
    "anew": "policy trained anew",
    "moved": "policy, moved",
    "trained": "policy, moved and trained",
}
PAIRS = (("moved", "greedy"), ("moved", "anew"), ("trained", "anew"), ("anew", "greedy"))
"""What is compared, session by session."""


def measured(out: Path, data: Path, seed: int) -> dict[str, float]:
    """Train, move, and play."""
    policy = [f"--data.init_args.policy.init_args.{setting}" for setting in READS]
    settings = {
        "data": PREPARED,
        "text": ["--model.init_args.tune=none"],
        "ranker": [*WORDS, "--trainer.max_epochs=5"],
        "policy": [*policy, *SMALL],
    }

    def trained(
        name: str, log: str, until: str, start: Path | None = None, more: dict | None = None
    ) -> Path:
        files = {"log": data / f"{log}.csv", "items": data / f"{log}_items.csv"}
        given = {"until": until, "seed": seed, "start_from": start}
        return run("generic", out=out / name, overrides=settings | (more or {}), **files, **given)

    source = trained("films", SOURCE, "ranker")
    # There is no policy to start from yet.
    target = trained("artists", TARGET, "policy", source)
    # Nobody plays in the films' user model B.
    brief = {"users_b": ["--model.init_args.members=1", "--trainer.max_epochs=1"]}
    trained("films", SOURCE, "policy", None, brief)
    # The same artists, ranker and user models, under policies that were moved.
    for name, epochs in {"moved": 0, "trained": 5}.items():
        shutil.copytree(target, out / name, symlinks=True)
        own = {"policy": [*policy, *SMALL, f"--trainer.max_epochs={epochs}"]}
        trained(name, TARGET, "policy", source, own)
    users = arena(str(target), SESSIONS, seed, {"max_steps": 40})
    names = {name: name for name in PLAYERS}
    names |= {"anew": "policy"} | {n: str(out / n / "policy") for n in ("moved", "trained")}
    played = {name: users.play(users.policy(w), SESSIONS, seed) for name, w in names.items()}
    metrics = {f"{name}/accepted": float(own.accepted.mean()) for name, own in played.items()}
    for one, other in PAIRS:
        ahead = (played[one].accepted - played[other].accepted).mean(0)
        metrics |= keys_of(f"{one}-minus-{other}/accepted", mean_interval(ahead))
    return metrics


def main() -> None:
    """Run the cells and print the table."""
    benchmark, data = Benchmark("transfer_policies"), data_folder()
    if data is None:
        sys.exit("Name the folder of the logs with --data.")
    with tempfile.TemporaryDirectory() as files:
        for seed in option("--seeds", "3").split(","):
            key = f"films-artists/seed-{seed}"
            if benchmark.has(key):
                continue
            for name in (SOURCE, TARGET):
                write(name, data, Path(files))
            command = [sys.executable, "-m", "benchmarks.transfer_policies", "{out}", "{data}"]
            benchmark.cell(key, [*command, seed], int(seed), "metrics.json", data=Path(files))
    print(table(benchmark.cells))


def table(cells: dict[str, dict]) -> str:
    """Set accepted items a session, and differences, means over seeds, as Markdown."""
    own = [cell["metrics"] for cell in cells.values()]
    rows = [
        [title, f"{fmean(each[f'{name}/accepted'] for each in own):.2f}"]
        for name, title in PLAYERS.items()
    ]
    for one, other in PAIRS:
        key = f"{one}-minus-{other}/accepted"
        ends = [fmean(each[f"{key}{end}"] for each in own) for end in ("", "/low", "/high")]
        shown = spread((ends[0], ends[1], ends[2]), "+.2f")
        rows.append([f"{PLAYERS[one]} − {PLAYERS[other]}", shown])
    return markdown(["", f"accepted a session, {len(own)} seed(s)"], rows)


if __name__ == "__main__":
    if len(sys.argv) == 4 and not sys.argv[1].startswith("--"):
        place, logs = map(Path, sys.argv[1:3])
        (place / "metrics.json").write_text(json.dumps(measured(place, logs, int(sys.argv[3]))))
    else:
        main()
