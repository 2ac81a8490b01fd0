"""The numbers of the benchmark `imitation`: seconds until learners arrive, side by side."""

from collections import defaultdict


def _learners(cells: dict[str, dict]) -> dict[str, list[dict]]:
    """Give each learner's metrics by ``WHO/NAME``, one for each seed."""
    found: dict[str, list[dict]] = defaultdict(list)
    for key, cell in sorted(cells.items()):
        if not key.startswith("choices/"):
            found[key.rsplit("/", 1)[0]].append(cell["metrics"])
    return found


def numbers(cells: dict[str, dict]) -> dict[str, float]:
    """Give lightrec's part of the peer's seconds, its worst seed too, against the peer's mean.

    A peer that never arrived counts with the seconds after which it was stopped. Beside it stands
    how rewards that were learned from choices order offers.
    """
    learners, found = _learners(cells), {}
    for name in ("gail", "airl"):
        own, peer = learners.get(f"lightrec/{name}"), learners.get(f"imitation/{name}")
        if own and peer and all(one["training_cpu_seconds"] for one in own):
            mine = [one["training_cpu_seconds"] for one in own]
            theirs = [one["stopped_after_cpu_seconds"] for one in peer]
            mean = sum(theirs) / len(theirs)
            found[f"{name}/part_of_imitation"] = sum(mine) / len(mine) / mean
            found[f"{name}/part_of_imitation/worst_seed"] = max(mine) / mean
    for key, cell in cells.items():
        if key.startswith("choices/"):
            for name in ("reward/spearman", "policy/spearman"):
                found[f"{key}/{name}"] = cell["metrics"][name]
    return found


def table(cells: dict[str, dict]) -> str:
    """Set the learners as a Markdown table, a learner a line, all seeds in it."""
    lines = ["| learner | CPU seconds until 475 | steps | return | whole process, CPU seconds |"]
    lines.append("| --- " * 5 + "|")
    whole: dict[str, list[float]] = defaultdict(list)
    for key, cell in sorted(cells.items()):
        whole[key.rsplit("/", 1)[0]].append(cell["cpu_seconds"])
    for name, seeds in _learners(cells).items():
        arrived = [
            f"{one['training_cpu_seconds']:.1f}"
            if one["training_cpu_seconds"]
            else f"not in {one['stopped_after_cpu_seconds']:.0f}"
            for one in seeds
        ]
        columns = [
            ", ".join(arrived),
            ", ".join(f"{one['steps'] / 1000:.0f} k" for one in seeds),
            ", ".join(f"{one['return']:.0f}" for one in seeds),
            ", ".join(f"{seconds:.0f}" for seconds in whole[name]),
        ]
        lines.append(f"| {name} | " + " | ".join(columns) + " |")
    return "\n".join(lines)
