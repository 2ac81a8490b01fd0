"""The numbers of the benchmark `simulators`: ratios of speed, differences of laws."""

from benchmarks.cells import markdown

RATE = "user_steps_per_cpu_second"
POLICIES = ("choc", "kale", "random")


def numbers(cells: dict[str, dict]) -> dict[str, float]:
    """Give the cells' ratios and relative differences under flat keys; those that can be had."""
    found: dict[str, float] = {}

    def metrics(key: str) -> dict[str, float]:
        return cells.get(key, {}).get("metrics", {})

    own, peer = (metrics(f"interest-evolution/speed/{who}") for who in ("lightrec", "recsim"))
    if own and peer:
        key = "interest-evolution/speed"
        found[f"{key}/loop/times_recsim"] = own[f"loop/{RATE}"] / peer[f"loop/{RATE}"]
        found[f"{key}/rollout/part_of_loop"] = own[f"rollout/{RATE}"] / own[f"loop/{RATE}"]
    own, peer = (metrics(f"interest-evolution/sessions/{who}") for who in ("lightrec", "recsim"))
    if own and peer:
        for name in ("length", "clicks", "watch_time"):
            found[f"interest-evolution/{name}/off_recsim"] = own[name] / peer[name] - 1
    own, peer = (metrics(f"long-term-satisfaction/{who}") for who in ("lightrec", "recsim"))
    if own and peer:
        for name in POLICIES:
            here = own[f"sensitivity-0.01/{name}/expected"]
            key = f"long-term-satisfaction/{name}/off_recsim"
            found[key] = here / peer[f"{name}/expected"] - 1
    for key, value in own.items():
        if key.endswith("/expected"):
            name = f"long-term-satisfaction/{key.removesuffix('/expected')}/off_twin"
            found[name] = value / own[key.replace("/expected", "/twin")] - 1
    return found


def table(found: dict[str, float]) -> str:
    """Set the numbers as a Markdown table: times as they are, differences in percent."""
    lines = ["| | |", "| --- | --- |"]
    for key, value in found.items():
        text = f"{value:+.2%}" if "/off_" in key else f"{value:.2f}"
        lines.append(f"| {key} | {text} |")
    return "\n".join(lines)


def speeds(cells: dict[str, dict]) -> str:
    """Set speed and laws of interest evolution beside RecSim's as Markdown."""
    found = numbers(cells)
    own, peer = (
        cells[f"interest-evolution/speed/{who}"]["metrics"] for who in ("lightrec", "recsim")
    )
    rows = [
        ["user-steps per CPU second, random slates, sessions begun anew"],
        ["the same by `rollout`, in place of that loop"],
        ["times RecSim's"],
    ]
    rows[0] += [f"{own[f'loop/{RATE}']:,.0f}", f"{peer[f'loop/{RATE}']:,.0f}"]
    rows[1] += [f"{own[f'rollout/{RATE}']:,.0f}", ""]
    rows[2] += [f"{found['interest-evolution/speed/loop/times_recsim']:.0f}", ""]
    sessions = {"length": "steps a session", "clicks": "clicks", "watch_time": "minutes watched"}
    for name, words in sessions.items():
        off = found[f"interest-evolution/{name}/off_recsim"]
        rows.append([f"{words}, off RecSim's", f"{off:+.2%}", ""])
    return markdown(["interest evolution, slates of 2 from 10", "lightrec", "RecSim"], rows)


def furthest(cells: dict[str, dict], other: str) -> str:
    """Give the largest relative difference of returns in the world of satisfaction.

    :param other: ``recsim``, or ``twin`` for dynamic programming.
    """
    found = numbers(cells).items()
    off = [abs(v) for k, v in found if k.startswith("long") and k.endswith(f"off_{other}")]
    return f"{max(off):.2%}"
