"""The figures of the benchmark `imitation`: CPU seconds until learners arrive, side by side.

lightrec's settings were chosen on seeds 0 to 2; where a learner has cells of other seeds, those
alone are reported. The package's settings are its tutorials', so that all of its seeds count.
"""

from statistics import fmean

from benchmarks.cells import markdown

CHOSEN_ON = (0, 1, 2)
NAMES = {
    "lightrec/gail": "lightrec GAIL",
    "imitation/gail": "`imitation` GAIL",
    "lightrec/airl": "lightrec AIRL",
    "imitation/airl": "`imitation` AIRL",
    "lightrec/airl-state-only": "lightrec AIRL, reward of states alone",
    "lightrec/airl-unshaped": "lightrec AIRL without shaping",
    "lightrec/sqil": "lightrec SQIL",
}
CONTROLS = {"gail": "GAIL", "airl": "AIRL", "sqil": "SQIL"}
FORMS = ("positive", "negative", "logit")
ENDINGS = ("leave", "absorbing")


def reported(cells: dict[str, dict], name: str) -> dict[int, dict]:
    """Give the cells of a learner, such as ``lightrec/gail``, by the seeds that are reported."""
    found = {cell["seed"]: cell for key, cell in cells.items() if key.rpartition("/")[0] == name}
    others = {seed: cell for seed, cell in found.items() if seed not in CHOSEN_ON}
    return dict(sorted((others or found).items()))


def numbers(cells: dict[str, dict]) -> dict[str, float]:
    """Give lightrec's part of the peer's seconds, its worst seed too, against the peer's mean.

    A peer that never arrived counts with the seconds after which it was stopped. Then how rewards
    that were learned from choices order offers.
    """
    found = {}
    for name in ("gail", "airl"):
        own, peer = (_metrics(cells, f"{who}/{name}") for who in ("lightrec", "imitation"))
        if own and peer and all(one["training_cpu_seconds"] for one in own):
            mine = [one["training_cpu_seconds"] for one in own]
            mean = fmean(one["stopped_after_cpu_seconds"] for one in peer)
            found[f"{name}/part_of_imitation"] = fmean(mine) / mean
            found[f"{name}/part_of_imitation/worst_seed"] = max(mine) / mean
    for key, cell in cells.items():
        if key.startswith("choices/"):
            for name in ("reward/spearman", "policy/spearman"):
                found[f"{key}/{name}"] = cell["metrics"][name]
    return found


def part(cells: dict[str, dict], name: str) -> str:
    """Give lightrec's part of the peer's CPU seconds: ``gail`` or ``airl``."""
    return f"{numbers(cells)[f'{name}/part_of_imitation']:.0%}"


def table(cells: dict[str, dict]) -> str:
    """Set the learners as a Markdown table, a learner a line, all of its seeds in it."""
    rows = []
    for name, words in NAMES.items():
        found = reported(cells, name)
        metrics = [cell["metrics"] for cell in found.values()]
        columns = (
            [_arrival(one) for one in metrics],
            [f"{one['steps'] / 1000:.0f}" for one in metrics],
            [f"{cell['cpu_seconds']:.0f}" for cell in found.values()],
        )
        if found:
            rows.append([words, _seeds(name, found), *(", ".join(texts) for texts in columns)])
    head = ["learner", "seeds", "CPU seconds until 475", "steps, thousands"]
    return markdown([*head, "whole process, CPU seconds"], rows)


def controls(cells: dict[str, dict]) -> str:
    """Set what learners reach that are shown random sessions as a Markdown table."""
    rows = []
    for name, words in CONTROLS.items():
        found = reported(cells, f"control/{name}")
        metrics = [cell["metrics"] for cell in found.values()]
        last, best = (
            ", ".join(f"{one[key]:.0f}" for one in metrics) for key in ("return", "best_return")
        )
        rows.append([words, _seeds(f"control/{name}", found), last, best])
    return markdown(["control of", "seeds", "return at the end", "best of all evaluations"], rows)


def forms(cells: dict[str, dict]) -> str:
    """Set the returns of rewards of every sign as a Markdown table, and of their controls."""
    rows = []
    for form in FORMS:
        rows.append([f"`{form}`"])
        for ending in ENDINGS:
            for shown in ("demonstrations", "control"):
                (one,) = _metrics(cells, f"forms/{ending}/{form}/{shown}")
                rows[-1].append(f"{one['return']:.0f}")
    return markdown(
        ["reward", "`leave`", "`leave`, control", "`absorbing`", "`absorbing`, control"], rows
    )


def choices(cells: dict[str, dict]) -> str:
    """Set how AIRL orders people's offers, by Spearman with the true reward, as Markdown.

    The policy after the first epoch is the conditional logit that it begins as.
    """
    found = reported(cells, "choices/airl")
    rows = [
        [
            str(seed) if seed not in CHOSEN_ON else f"{seed}, chosen on",
            f"{cell['metrics']['course'][0]['policy/spearman']:.3f}",
            f"{cell['metrics']['reward/spearman']:.3f}",
            f"{cell['metrics']['policy/spearman']:.3f}",
            f"{cell['metrics']['training_cpu_seconds']:.0f}",
        ]
        for seed, cell in found.items()
    ]
    return markdown(
        ["seed", "logit at the beginning", "AIRL's reward", "AIRL's policy", "CPU seconds"], rows
    )


def _metrics(cells: dict[str, dict], name: str) -> list[dict]:
    return [cell["metrics"] for cell in reported(cells, name).values()]


def _seeds(name: str, found: dict[int, dict]) -> str:
    seeds = ", ".join(map(str, found))
    return seeds if name.startswith("imitation/") or set(found) - {*CHOSEN_ON} else f"{seeds} *"


def _arrival(one: dict) -> str:
    if one["training_cpu_seconds"]:
        return f"{one['training_cpu_seconds']:.1f}"
    return f"not in {one['stopped_after_cpu_seconds']:.0f}"
