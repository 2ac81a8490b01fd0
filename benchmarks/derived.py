"""What follows from the results of several cells: shares of an oracle, ratios, the best part.

Each function takes a benchmark's cells and names metrics by cell, which join those measured.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from statistics import fmean

Cells = Mapping[str, dict]
Derived = dict[str, dict[str, float | str]]
PART = re.compile(r"^test/(\w+)/ndcg@10$")
REACHED = "cpu_seconds_to_.090"


def best_part(cells: Cells) -> Derived:
    """The part of a blend that is best on the test events themselves, over the seeds of a log."""
    logs: dict[str, dict[str, dict]] = {}
    for key, cell in cells.items():
        if "test/blend/ndcg@10" in cell["metrics"]:
            logs.setdefault(key.partition("/seed-")[0], {})[key] = cell["metrics"]
    found: Derived = {}
    for seeds in logs.values():
        named = ({m[1] for m in map(PART.match, own) if m} for own in seeds.values())
        parts = sorted(set.intersection(*named) - {"blend", "likelihood", "sum"})
        means = [fmean(own[f"test/{part}/ndcg@10"] for own in seeds.values()) for part in parts]
        best = parts[means.index(max(means))]
        for key, own in seeds.items():
            ahead = f"test/blend-minus-{best}/ndcg@10"
            found[key] = {"best/part": best, "best/ndcg@10": own[f"test/{best}/ndcg@10"]}
            found[key] |= {f"best/ahead{end}": own[ahead + end] for end in ("", "/low", "/high")}
    return found


def shares(cells: Cells) -> Derived:
    """Returns on the scale on which random slates have 0 and the world's oracle 1.

    Both stand in the cell itself, or in that of the world's references.
    """
    found: Derived = {}
    for key, cell in cells.items():
        known = cells.get(_references(key), cell)["metrics"]
        if "oracle/return" in known:
            low, high = known["random/return"], known["oracle/return"]
            found[key] = {
                name.removesuffix("/return") + "/share": (value - low) / (high - low)
                for name, value in cell["metrics"].items()
                if name.endswith(("/return", "/drawn"))
            }
    return found


def of_finished_draws(cells: Cells) -> Derived:
    """Shares of the draws of which all cells are there, so that means are over the same draws."""
    each = {"references", "ppo", "slate-sarsa"}
    whole = {key.partition("/")[0] for key in cells}
    whole = {draw for draw in whole if {f"{draw}/{name}" for name in each} <= {*cells}}
    return {key: own for key, own in shares(cells).items() if key.partition("/")[0] in whole}


def times_gumbel(cells: Cells) -> Derived:
    """How many times as fast slates are as Gumbel top-10."""
    ending = "/slates/times_gumbel"
    return {
        key: {
            name.replace(ending, "/times_as_fast"): 1 / value
            for name, value in cell["metrics"].items()
            if name.endswith(ending)
        }
        for key, cell in cells.items()
    }


def _references(key: str) -> str:
    """Name the cell of those who learn nothing in the same world under the same chance."""
    world, _, rest = key.removeprefix("long/").partition("/")
    seed = rest.partition("/")[2]
    return f"{world}/references/{seed}" if seed else f"{world}/references"


def of_supervised(cells: Cells) -> Derived:
    """A learned reward's shares of what the network reaches whose label is the true one."""
    found: Derived = {}
    for key, cell in cells.items():
        log, _, seed = key.rsplit("/", 2)
        best, least = (
            cells.get(f"{log}/{name}/{seed}", {}).get("metrics", {})
            for name in ("supervised", "popularity")
        )
        own = cell["metrics"]
        if best and least:
            gap = best["greedy"] - least["greedy"]
            found[key] = {"of_supervised/spearman": own["spearman"] / best["spearman"]}
            found[key]["of_supervised/greedy"] = (own["greedy"] - least["greedy"]) / gap
            if "planned" in own and "planned" in best:
                found[key]["of_supervised/planned"] = own["planned"] / best["planned"]
    return found


def times_lightrec(cells: Cells) -> Derived:
    """CPU seconds until the threshold, in lightrec's own."""
    own = cells.get("ml-100k/lightrec", {}).get("metrics", {}).get(REACHED)
    reached = {key: cell["metrics"].get(REACHED) for key, cell in cells.items()}
    return {key: {"times_lightrec": at / own} for key, at in reached.items() if own and at}


def new_items(cells: Cells) -> Derived:
    """What two reserved places find of new items, and what they cost others."""
    found: Derived = {}
    for key, cell in cells.items():
        own = cell["metrics"]
        if "cold/places-2/cold/recall@10" in own:
            without, kept = (own[f"cold/places-{n}/warm/ndcg@10"] for n in (0, 2))
            times = own["cold/places-2/cold/recall@10"] / own["cold/text-among-all/recall@10"]
            found[key] = {"cold/times": times, "cold/lost": 1 - kept / without}
    return found


def updates(cells: Cells) -> Derived:
    """Days as they were once kept, a cell for each of update, training anew and judging."""
    found: Derived = {}
    for key, cell in cells.items():
        day, _, what = key.rpartition("/")
        if what == "judge":
            found[day] = dict(cell["metrics"])
            for one in ("update", "anew"):
                found[day][f"{one}/cpu_seconds"] = cells[f"{day}/{one}"]["cpu_seconds"]
        elif what.startswith("day-"):
            found[key] = dict(cell["metrics"])
    for own in found.values():
        own["cpu/ratio"] = own["update/cpu_seconds"] / own["anew/cpu_seconds"]
    return found


def recsim(cells: Cells) -> Derived:
    """Ratios of speed, and relative differences of laws, from RecSim."""

    def both(place: str) -> Iterator[Mapping[str, float]]:
        for who in ("lightrec", "recsim"):
            yield cells.get(f"{place}/{who}", {}).get("metrics", {})

    found: dict[str, float | str] = {}
    own, peer = both("interest-evolution/speed")
    if own and peer:
        rate = "loop/user_steps_per_cpu_second"
        found["times_recsim"] = own[rate] / peer[rate]
    own, peer = both("interest-evolution/sessions")
    if own and peer:
        names = ("length", "clicks", "watch_time")
        found |= {f"{name}/off_recsim": own[name] / peer[name] - 1 for name in names}
    own, peer = both("long-term-satisfaction")
    if own and peer:
        off = [
            own[f"sensitivity-0.01/{name}/expected"] / peer[f"{name}/expected"] - 1
            for name in ("choc", "kale", "random")
        ]
        found["satisfaction/off_recsim"] = max(map(abs, off))
    return {"ratios": found}


def growth(cells: Cells) -> Derived:
    """Seconds that a million events, and 100,000 users and items, cost, and hours of a large log.

    Users and items are varied alone; what is left of a log that is larger in all is the events'.
    """
    names = ("100000-2000-1000", "100000-10000-1000", "100000-2000-10000", "1000000-20000-10000")
    if not {f"growth/{name}" for name in names} <= {*cells}:
        return {}
    small, crowd, catalog, large = (cells[f"growth/{name}"]["metrics"] for name in names)
    larger = cells.get("growth/10000000-200000-100000", {}).get("metrics", {})
    found: dict[str, float | str] = {}
    for name in [each for each in small if each.endswith("/seconds")]:
        users = max(0.0, crowd[name] - small[name]) / 0.08
        items = max(0.0, catalog[name] - small[name]) / 0.09
        most, millions = (larger[name], 10) if name in larger else (large[name], 1)
        rest = most - small[name] - (0.2 * users + 0.1 * items) * (millions - 0.1)
        own = {"events": max(0.0, rest) / (millions - 0.1), "users": users, "items": items}
        own["hours"] = (1e3 * own["events"] + 1e3 * users + 1e2 * items) / 3600
        found |= {f"{name.removesuffix('seconds')}{key}": value for key, value in own.items()}
    return {"slopes": found}


def goal_ahead(cells: Cells) -> Derived:
    """How far learning all kinds of events is ahead of one kind, over users and refits."""
    import torch

    from lightrec.intervals import mean_interval

    found: Derived = {}
    for other in ("views", "purchases"):
        pairs = [
            [torch.tensor(cells[key]["metrics"]["users/blend"]) for key in keys]
            for seed in (3, 4, 5)
            for keys in [(f"goal/seed-{seed}", f"{other}/seed-{seed}")]
            if {*keys} <= {*cells}
        ]
        if pairs:
            mean, low, high = mean_interval(torch.stack([one - two for one, two in pairs]))
            found[f"goal-minus-{other}"] = {"ahead": mean, "ahead/low": low, "ahead/high": high}
    return found


def best_rule(cells: Cells) -> Derived:
    """The rule that is best on the test orders."""
    return {
        key: {"test/best rule/ndcg@10": own[f"test/{own['best rule']}/ndcg@10"]}
        for key, cell in cells.items()
        for own in [cell["metrics"]]
    }


def parts_of_peer(cells: Cells) -> Derived:
    """Steps in thousands, and lightrec's part of the peer's seconds on seeds not chosen on."""
    found: Derived = {
        key: {"thousand_steps": cell["metrics"]["steps"] / 1000}
        for key, cell in cells.items()
        if "steps" in cell["metrics"]
    }

    def seconds(who: str) -> list[float]:
        own = [cells.get(f"{who}/seed-{seed}", {}).get("metrics", {}) for seed in (3, 4, 5)]
        return [each["stopped_after_cpu_seconds"] for each in own if each]

    for name in ("gail", "airl"):
        own, peer = seconds(f"lightrec/{name}"), seconds(f"imitation/{name}")
        if own and peer:
            found.setdefault("parts", {})[name] = fmean(own) / fmean(peer)
    return found


DERIVED: dict[str, Callable[[Cells], Derived]] = {
    "blend": best_part,
    "published": best_part,
    "language": best_part,
    "daily": updates,
    "imitation": parts_of_peer,
    "irl": of_supervised,
    "offline": shares,
    "policies": times_gumbel,
    "policies_asked": shares,
    "policies_draws": of_finished_draws,
    "policies_worlds": shares,
    "ranking": times_lightrec,
    "scale": growth,
    "sets": new_items,
    "shop": goal_ahead,
    "shops": best_rule,
    "simulators": recsim,
}
