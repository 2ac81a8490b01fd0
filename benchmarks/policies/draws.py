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
    """Give each contender's share of the oracle's return, a draw after the other."""
    values: dict[str, list[float]] = {}
    for draw in DRAWS:
        known = found[f"draw-{draw}/references"]["metrics"]
        for name in LEARNERS:
            own = found[f"draw-{draw}/{name}"]["metrics"]["mode/return"]
            values.setdefault(name, []).append(share(known, own))
        for name in REFERENCES:
            values.setdefault(name, []).append(share(known, known[f"{name}/return"]))
    return values


def table(found: dict[str, dict]) -> str:
    """Set mean and range over the draws as a Markdown table."""
    rows = []
    for name, values in shares(found).items():
        numbers = (mean(values), min(values), max(values))
        rows.append([(LEARNERS | REFERENCES)[name], *(f"{x:.2f}" for x in numbers)])
    return markdown(["", f"mean of {len(DRAWS)} draws", "lowest", "highest"], rows)
