"""The world `greed` over ten draws of its items that nobody looked at when settings were chosen.

Learners' settings were chosen on the default draw, and that draw is the most typical one of the
first 150. Cells are as short as those of `worlds`: 0 is what random slates bring, 1 what the
oracle does, both in the same draw.
"""

import sys
from statistics import mean

from benchmarks.cells import Benchmark, markdown
from benchmarks.policies.learners import EPOCHS, share

DRAWS = range(1000, 1010)
"""Seeds of the items, beyond the 150 from which the default draw was taken."""
LEARNERS = {"slate-sarsa": "SlateQ on policy", "ppo": "PPO"}
REFERENCES = {"constant-best": "best constant list", "greedy": "greedy"}


def cells(benchmark: Benchmark) -> None:
    """Run what is missing: one seed of each learner in each draw."""
    for draw in DRAWS:
        command = [sys.executable, "-m", "benchmarks.policies.learner_run"]
        more = ["greed", "0", "{out}", "--draw", str(draw)]
        key, known = f"draw-{draw}/references", [*command, "references", *more]
        benchmark.cell(key, known, 0, "metrics.json")
        for learner in LEARNERS:
            train = [*command, "train", *more, "--learner", learner]
            train += ["--trainer.max_epochs", str(EPOCHS)]
            benchmark.cell(f"draw-{draw}/{learner}", train, 0, "metrics.json")


def shares(found: dict[str, dict]) -> dict[str, list[float]]:
    """Give each contender's share of the oracle's return, a finished draw after the other."""
    values: dict[str, list[float]] = {name: [] for name in (*LEARNERS, *REFERENCES)}
    for draw in DRAWS:
        keys = [f"draw-{draw}/{name}" for name in ("references", *LEARNERS)]
        if any(key not in found for key in keys):
            continue
        known, *trained = (found[key]["metrics"] for key in keys)
        for name, metrics in zip(LEARNERS, trained, strict=True):
            values[name].append(share(known, metrics["mode/return"]))
        for name in REFERENCES:
            values[name].append(share(known, known[f"{name}/return"]))
    return values


def table(found: dict[str, dict]) -> str:
    """Set mean and range over the finished draws as a Markdown table."""
    values, rows = shares(found), []
    for name, words in (LEARNERS | REFERENCES).items():
        numbers = (mean(values[name]), min(values[name]), max(values[name]))
        rows.append([words, *(f"{x:.2f}" for x in numbers)])
    count = len(values["greedy"])
    return markdown(["", f"mean of {count} draws", "lowest", "highest"], rows)


def reached(found: dict[str, dict], name: str) -> str:
    """Give a contender's share of the oracle's return, the mean over the finished draws."""
    return f"{mean(shares(found)[name]):.2f}"
