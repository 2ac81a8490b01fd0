"""Policies for the long run, learned from logs alone: `make bench NAME=long_run`.

A behavior policy shows sessions in a world; users are fitted to them, a policy is learned in the
fitted users, and is judged in the true world beside the same learner's policy that met the true
world, and beside fixed rules (:mod:`benchmarks.long_run_run`). A hole is planted in fitted users
where they disagree or where they do not, and probed (:mod:`benchmarks.long_run_hole`). Real logs
say what can be predicted of sittings (:mod:`benchmarks.long_run_sittings`; ``--data FOLDER``, or
the variable LIGHTREC_TEST_DATA).
``--only retention/log`` runs some cells; tables show what is measured.
"""

import sys
from collections.abc import Callable, Mapping
from statistics import fmean

from benchmarks.cells import Benchmark, data_folder, markdown
from benchmarks.daily_logs import SETS
from benchmarks.long_run_hole import CONSTANT, VARIANTS
from benchmarks.long_run_run import COURSES, WHAT

SEEDS = range(3, 6)
"""Settings were chosen on others."""
MISSING = "–"
PARTS = {
    "choice": "what is taken of a slate",
    "value": "what it is worth",
    "going_on": "whether the session goes on",
    "return": "when its user comes back",
}
HOLES = {
    "sound": "no hole",
    "sound-careful": "no hole, disagreement off the reward",
    "hole": "hole",
    "careful": "hole, disagreement off the reward",
    "alike": "hole in which all members err alike, disagreement off the reward",
}
CONSTANTS = {
    "constant": "always the same document, the best of 50 in the true world",
    "most kale": "always the same document, the most kale",
}
RULES = {
    "satisfaction": {
        "greedy": "always the most chocolate",
        "most kale": "always the most kale",
        "one level": "always the nearest to one clickbait score, the best of eleven",
    },
    "retention": {
        "greedy": "always the likeliest click",
        "quality": "always the highest quality",
        "least bait": "always the least bait",
        "both": "always the highest quality times the true chance of a click",
    },
}
"""Nobody learns anything for these."""
Cells = dict[str, dict]
Value = Callable[[int], float]


def main() -> None:
    """Run the cells and print the tables."""
    benchmark = Benchmark("long_run")
    kinds = {f"{world}/{what}": ("run", what, world) for world in COURSES for what in WHAT}
    kinds |= {f"hole/{name}": ("hole", name) for name in (*VARIANTS, CONSTANT)}
    kinds |= {f"sittings/{name}": ("sittings", name) for name in SETS}
    for kind, (module, *names) in kinds.items():
        for seed in SEEDS:
            key, data = f"{kind}/seed-{seed}", data_folder()
            if benchmark.wants(key) and (module != "sittings" or data):
                command = [sys.executable, "-m", f"benchmarks.long_run_{module}", *names]
                command += [str(seed), "{out}", *(["--data", "{data}"] * (module == "sittings"))]
                benchmark.cell(key, command, seed, "metrics.json", data=data)
    for made in (table, likelihoods, hole, sittings):
        print(made(benchmark.cells), end="\n\n")


def metrics(cells: Cells, kind: str, seed: int) -> dict:
    """Give the metrics of a cell, such as ``retention/log`` of seed 3.

    :raises LookupError: where it is not measured.
    """
    found: dict = cells[f"{kind}/seed-{seed}"]["metrics"]
    return found


def each(value: Value) -> list[float]:
    """Give a value of all seeds for which the cells are measured."""
    found = []
    for seed in SEEDS:
        try:
            found.append(value(seed))
        except LookupError:
            continue
    return found


def row(value: Value) -> list[str]:
    """Write a value seed by seed, and its mean where all seeds are measured."""
    texts = []
    for seed in SEEDS:
        try:
            texts.append(f"{value(seed):.2f}")
        except LookupError:
            texts.append(MISSING)
    found = each(value)
    return [*texts, f"{fmean(found):.2f}" if len(found) == len(SEEDS) else MISSING]


def share(known: Mapping[str, float], value: float) -> float:
    """Put a return on the scale on which random is 0 and the oracle 1."""
    return (value - known["random"]) / (known["oracle"] - known["random"])


def reached(cells: Cells, world: str, what: str, name: str) -> Value:
    """Give the share that a policy reaches in a world, by seed."""
    return lambda seed: share(
        metrics(cells, f"{world}/truth", seed), metrics(cells, f"{world}/{what}", seed)[name]
    )


def mean_of(cells: Cells, world: str, what: str, name: str) -> str:
    """Give the mean share that a policy or a rule reaches in a world."""
    return f"{fmean(each(reached(cells, world, what, name.replace('-', ' ')))):.2f}"


def kept(cells: Cells, world: str) -> Value:
    """Give what the log's learner reaches of what it reaches in the true world, by seed."""
    log, truth = (reached(cells, world, what, "learned") for what in ("log", "truth"))
    return lambda seed: log(seed) / truth(seed)


def table(cells: Cells) -> str:
    """Set shares of the oracle's return as Markdown; the last ratio is that of the means."""
    rows = []
    for world, course in COURSES.items():
        lines = {
            "behavior policy, drawn": reached(cells, world, "truth", "behavior"),
            f"{course.learner}, from its log alone": reached(cells, world, "log", "learned"),
            f"{course.learner}, in the true world": reached(cells, world, "truth", "learned"),
        }
        lines |= {
            words: reached(cells, world, "rules", rule) for rule, words in RULES[world].items()
        }
        rows += [[world, name, *row(value)] for name, value in lines.items()]
        both = [each(reached(cells, world, what, "learned")) for what in ("log", "truth")]
        whole = f"{fmean(both[0]) / fmean(both[1]):.2f}" if all(both) else MISSING
        rows.append([world, "log alone / true world", *row(kept(cells, world))[:-1], whole])
    return markdown(["world", "", *(f"seed {seed}" for seed in SEEDS), "mean"], rows)


def likelihoods(cells: Cells) -> str:
    """Set held-out log-likelihoods in worlds as Markdown, means over the seeds."""
    return _likelihoods(cells, {world: f"{world}/log" for world in COURSES})


def sittings(cells: Cells) -> str:
    """Set held-out log-likelihoods of real logs as Markdown, means over the seeds."""
    return _likelihoods(cells, {name: f"sittings/{name}" for name in SETS})


def _likelihoods(cells: Cells, kinds: Mapping[str, str]) -> str:
    rows = []
    for name, kind in kinds.items():
        for part, words in PARTS.items():
            found = []
            for who in ("constant", "rule", "model"):

                def value(seed: int, key: str = f"{part}/{who}", kind: str = kind) -> float:
                    return float(metrics(cells, kind, seed)[key])

                found.append(each(value))
            if all(found):
                rows.append([name, words, *(f"{fmean(values):.4f}" for values in found)])
    return markdown(["", "", "one law for all", "simple rule", "fitted users"], rows)


def of_hole(cells: Cells, name: str) -> Value:
    """Give the share that a policy of a variant reaches, by seed."""

    def value(seed: int) -> float:
        found = metrics(cells, f"hole/{name}", seed)
        return share(found, found["learned"])

    return value


def always(cells: Cells, name: str) -> Value:
    """Give the share that one document reaches which is shown always, by seed."""
    return lambda seed: share(
        metrics(cells, "hole/sound", seed), metrics(cells, f"hole/{CONSTANT}", seed)[name]
    )


def hole(cells: Cells) -> str:
    """Set what a hole costs, beside controls and constant documents, as Markdown."""
    rows = []
    for name, words in HOLES.items():
        if not each(of_hole(cells, name)):
            continue
        said = each(lambda seed, name=name: metrics(cells, f"hole/{name}", seed)["probe/hole"])
        probed = f"{sum(said):.0f} of {len(said)}" if said else MISSING
        rows.append([words, *row(of_hole(cells, name)), probed])
    for name, words in CONSTANTS.items():
        rows.append([words, *row(always(cells, name)), MISSING])
    seeds = [f"seed {seed}" for seed in SEEDS]
    return markdown(["", *seeds, "mean", "the probe finds a hole"], rows)


def won_back(cells: Cells) -> str:
    """Give the part of what the hole cost that pessimism wins back."""
    sound, lost, careful = (
        fmean(each(of_hole(cells, name))) for name in ("sound", "hole", "careful")
    )
    return f"{(careful - lost) / (sound - lost):.2f}"


if __name__ == "__main__":
    main()
