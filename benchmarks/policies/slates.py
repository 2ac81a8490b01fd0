"""Top-10 slates of a two-tower policy: speed, law and memory.

    python -m benchmarks.policies.slates speed metrics.json 256

One process a cell, one thread. Width 64, and scores that are normal among the items of a user.
"""

import json
import math
import resource
import statistics
import sys
import time
from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.cells import Benchmark, markdown
from lightrec.nn.plackett_luce import PlackettLuce
from lightrec.nn.slates import chunks, draw_slates, ordered_steps, two_tower_slates

ITEMS, WIDTH, PLACES = 10_000, 64, 10
SPREADS = (1.0, 1.5, 2.0, 5.0)
"""Standard deviations of a user's scores; the last is peaked."""
TIMED = 2048
"""Users, or the same ones several times, that are timed together."""
REPETITIONS = 15
GIB = 2**30
LAWS = {
    "gentle": (0.3, -1.2, 2.0, 0.0, 0.7, -0.4),
    "peaked": (9.0, 0.0, 8.0, 1.0, -1.0, 0.5),
    "masked": (0.3, -math.inf, 2.0, 0.0, -math.inf, -0.4),
}

Metrics = dict[str, float]


def towers(users: int, items: int, spread: float) -> tuple[Tensor, Tensor]:
    """Draw user and item vectors whose products have this standard deviation."""
    return torch.randn(users, WIDTH), torch.randn(items, WIDTH) * (spread / WIDTH**0.5)


def product(users: Tensor, items: Tensor, memory: Tensor, then: Callable | None = None) -> None:
    """Score all items, a few users at a time and in memory that is used again."""
    for rows in chunks(len(users), len(items)):
        scores = torch.mm(users[rows], items.T, out=memory[: rows.stop - rows.start])
        if then is not None:
            then(scores)


def gumbel(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Draw as the textbooks do: a Gumbel number for each item, and the largest sums."""
    noisy = scores - torch.empty_like(scores).exponential_().log_()
    columns = noisy.topk(PLACES, dim=1).indices
    never = scores.scatter(1, columns, -torch.inf).logsumexp(1, keepdim=True)
    chosen = scores.gather(1, columns)
    return columns, ordered_steps(chosen, never, columns >= 0).sum(1)


def speed(users: int) -> Metrics:
    """CPU time of the score product, of slates and of the textbooks' way, in alternation."""
    metrics: Metrics = {}
    for spread in SPREADS:
        user, item = towers(users, ITEMS, spread)
        memory = torch.empty(chunks(users, ITEMS)[0].stop, ITEMS)

        ways: dict[str, Callable[[], object]] = {
            "product": lambda u=user, i=item, m=memory: product(u, i, m),
            "product_at_once": lambda u=user, i=item: u @ i.T,
            "slates": lambda u=user, i=item: two_tower_slates(u, i, PLACES),
            "gumbel": lambda u=user, i=item, m=memory: product(u, i, m, gumbel),
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(REPETITIONS + 1):
            for name, way in ways.items():
                start = time.process_time()
                for _ in range(TIMED // users):
                    way()
                seconds[name].append(time.process_time() - start)
        # The first time warms up. Other work on the machine comes and goes, so that what is
        # compared was measured side by side.
        seconds = {name: times[1:] for name, times in seconds.items()}
        key = f"spread-{spread:g}"
        for name, times in seconds.items():
            metrics[f"{key}/{name}/user_steps_per_cpu_second"] = TIMED / statistics.median(times)
        for name in ("product", "product_at_once", "gumbel"):
            pairs = zip(seconds["slates"], seconds[name], strict=True)
            metrics[f"{key}/slates/times_{name}"] = statistics.median(a / b for a, b in pairs)
    return metrics


def law(draws: int) -> Metrics:
    """χ² over all ordered slates of 3 of 6 items, and errors of log-probabilities."""
    metrics: Metrics = {}
    for name, logits in LAWS.items():
        columns = draw_slates(torch.tensor(logits).expand(draws, 6), 3).columns
        counts = torch.bincount((columns * 6 ** torch.arange(3)).sum(1), minlength=6**3)
        pairs, rare = [], [0.0, 0.0]
        for slate in permutations(range(6), 3):
            wanted = draws * math.exp(ordered(torch.tensor(logits, dtype=torch.float64), slate))
            found = float(counts[sum(c * 6**p for p, c in enumerate(slate))])
            if wanted >= 5:
                pairs.append((found, wanted))
            else:
                rare = [rare[0] + found, rare[1] + wanted]
        pairs += [(rare[0], rare[1])] if rare[1] else []
        statistic = torch.tensor(sum((f - w) ** 2 / w for f, w in pairs))
        freedom = torch.tensor((len(pairs) - 1) / 2)
        metrics[f"{name}/chi_squared"] = float(statistic)
        metrics[f"{name}/degrees_of_freedom"] = len(pairs) - 1
        metrics[f"{name}/p"] = float(torch.special.gammaincc(freedom, statistic / 2))
    for spread in SPREADS:
        users, items = (x.double() for x in towers(16, ITEMS, spread))
        for kind in (torch.float64, torch.float32):
            u, i = users.to(kind), items.to(kind)
            drawn = two_tower_slates(u, i, PLACES)
            scores = u.double() @ i.double().T
            right = [ordered(*row) for row in zip(scores, drawn.columns.tolist(), strict=True)]
            off = drawn.log_probabilities.double() / torch.tensor(right, dtype=torch.float64) - 1
            name = str(kind).removeprefix("torch.")
            metrics[f"spread-{spread:g}/{name}/relative_error"] = float(off.abs().max())
    return metrics


def ordered(logits: Tensor, slate: tuple[int, ...]) -> float:
    """Log-probability of an ordered slate by the definition, with sums that lose nothing."""
    weights = (logits - logits.max()).exp().tolist()
    total = 0.0
    for column in slate:
        if weights[column] == 0:
            return -math.inf
        total += math.log(weights[column] / math.fsum(weights))
        weights[column] = 0.0
    return total


def memory(items: int) -> Metrics:
    """Peak resident memory in GiB: of the libraries, of 256 users' slates, of the distribution."""
    metrics = {"libraries_gib": peak()}
    user, item = towers(256, items, 2.0)
    mask = torch.rand(256, items) < 0.9
    two_tower_slates(user, item, PLACES, torch.zeros(items), mask)
    metrics["two_towers_gib"] = peak()
    PlackettLuce(user @ item.T, mask, PLACES).sample_and_log_prob()
    metrics["distribution_gib"] = peak()
    return metrics


def peak() -> float:
    """Give the peak resident set in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB


CELLS = {
    "slates/users-256": ("speed", 256),
    "slates/users-2048": ("speed", 2048),
    "slates/law": ("law", 1_000_000),
    "slates/memory-100000-items": ("memory", 100_000),
}


def cells(benchmark: Benchmark) -> None:
    """Run what is missing.

    :raises RuntimeError: where a slate is slower, or takes more memory, than it may.
    """
    for key, (what, number) in CELLS.items():
        command = [sys.executable, "-m", "benchmarks.policies.slates"]
        command += [what, "{out}/metrics.json", str(number)]
        found = benchmark.cell(key, command, 0, metrics="metrics.json")["metrics"]
        for spread in SPREADS[:-1] if what == "speed" else ():
            of = f"spread-{spread:g}/slates/times"
            if found[f"{of}_product"] > 3 or found[f"{of}_gumbel"] > 1 / 4:
                raise RuntimeError(
                    f"{key}: slates take {found[f'{of}_product']:.2f} times the score product, of "
                    f"3 allowed, and {found[f'{of}_gumbel']:.2f} of the textbooks' way, of 0.25."
                )
        if found.get("distribution_gib", 0) > 4:
            raise RuntimeError(f"{key}: 256 slates take more than 4 GiB.")


def table(found: dict[str, dict]) -> str:
    """Set the speeds as a Markdown table."""
    head = ["users", "spread of scores", "slates: user-steps a CPU second", "Gumbel top-10"]
    rows = []
    for key, (what, users) in CELLS.items():
        for spread in SPREADS if what == "speed" else ():
            metrics, of = found[key]["metrics"], f"spread-{spread:g}"
            rate = "user_steps_per_cpu_second"
            rows.append([f"{users:,}", f"{spread:g}"])
            rows[-1] += [f"{metrics[f'{of}/{way}/{rate}']:,.0f}" for way in ("slates", "gumbel")]
            rows[-1].append(f"{1 / metrics[f'{of}/slates/times_gumbel']:.1f}")
            rows[-1].append(f"{metrics[f'{of}/slates/times_product']:.2f}")
    return markdown([*head, "times as fast", "times the product's CPU time"], rows)


def exactness(found: dict[str, dict]) -> str:
    """Set what holds the law, and the memory, as a Markdown table."""
    tested, used = (found[key]["metrics"] for key in ("slates/law", "slates/memory-100000-items"))
    rows = []
    for name, words in {
        "gentle": "even scores",
        "peaked": "two peaks",
        "masked": "two items masked",
    }.items():
        chi, freedom = (tested[f"{name}/{key}"] for key in ("chi_squared", "degrees_of_freedom"))
        rows.append([f"{words}: χ² of a million slates of 3 of 6 items against enumeration"])
        rows[-1].append(f"{chi:.0f}, {freedom} degrees of freedom")
    for kind in ("float64", "float32"):
        errors = [v for key, v in tested.items() if key.endswith(f"{kind}/relative_error")]
        rows.append([f"largest relative error of log-probabilities, {kind}", f"{max(errors):.0e}"])
    memory = {
        "libraries": "the libraries alone",
        "two_towers": "with the slates of two towers",
        "distribution": "with a `PlackettLuce` over all scores at once",
    }
    for name, words in memory.items():
        rows.append([f"peak memory, {words}", f"{used[f'{name}_gib']:.2f} GiB"])
    return markdown(["", ""], rows)


def main(what: str, out: str, number: str) -> None:
    """Measure, and write what was found."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    found = {"speed": speed, "law": law, "memory": memory}[what](int(number))
    Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
