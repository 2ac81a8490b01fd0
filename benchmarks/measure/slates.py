"""Top-10 slates of a two-tower policy: speed, law and memory.

Width 64, and scores that are normal among the items of a user.
"""

import math
import statistics
import time
from collections.abc import Callable
from itertools import permutations

import torch
from torch import Tensor

from benchmarks.measure import Cell, resident
from lightrec.nn.plackett_luce import PlackettLuce
from lightrec.nn.slates import (
    Slates,
    SlateSampler,
    chunks,
    draw_slates,
    joined,
    ordered_steps,
)

ITEMS, WIDTH, PLACES = 10_000, 64, 10
SPREADS = (1.0, 1.5, 2.0, 5.0)
"""Standard deviations of a user's scores; the last is peaked."""
TIMED = 2048
"""Users, or the same ones several times, that are timed together."""
REPETITIONS = 15
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


@torch.no_grad()
def two_tower_slates(users: Tensor, items: Tensor, mask: Tensor | None = None) -> Slates:
    """Draw slates from products of vectors, a few users at a time and in memory used again.

    :param mask: (users, items) bool, False excludes an item.
    """
    parts, bias = chunks(len(users), len(items)), items.new_zeros(len(items))
    sampler = SlateSampler(parts[0].stop, len(items), PLACES, items)
    memory, drawn = items.new_empty(parts[0].stop, len(items)), []
    for rows in parts:
        scores = memory[: rows.stop - rows.start]
        torch.addmm(bias, users[rows], items.T, out=scores)
        if mask is not None:
            scores.masked_fill_(~mask[rows], -torch.inf)
        drawn.append(sampler.draw(scores))
    return joined(drawn, items)


def gumbel(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Draw as the textbooks do: a Gumbel number for each item, and the largest sums."""
    noisy = scores - torch.empty_like(scores).exponential_().log_()
    columns = noisy.topk(PLACES, dim=1).indices
    never = scores.scatter(1, columns, -torch.inf).logsumexp(1, keepdim=True)
    chosen = scores.gather(1, columns)
    return columns, ordered_steps(chosen, never, columns >= 0).sum(1)


def speed(users: int, items: int = ITEMS) -> Metrics:
    """CPU time of the score product, of slates and of the textbooks' way, in alternation."""
    metrics: Metrics = {}
    for spread in SPREADS:
        user, item = towers(users, items, spread)
        memory = torch.empty(chunks(users, items)[0].stop, items)

        ways: dict[str, Callable[[], object]] = {
            "product": lambda u=user, i=item, m=memory: product(u, i, m),
            "slates": lambda u=user, i=item: two_tower_slates(u, i),
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
        for name in ("product", "gumbel"):
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
        metrics[f"{name}/chi_squared"] = sum((f - w) ** 2 / w for f, w in pairs)
        metrics[f"{name}/degrees_of_freedom"] = len(pairs) - 1
    for spread in SPREADS:
        users, items = (x.double() for x in towers(16, ITEMS, spread))
        for kind in (torch.float64, torch.float32):
            u, i = users.to(kind), items.to(kind)
            drawn = two_tower_slates(u, i)
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
    metrics = {"libraries_gib": resident()}
    user, item = towers(256, items, 2.0)
    mask = torch.rand(256, items) < 0.9
    two_tower_slates(user, item, mask)
    metrics["two_towers_gib"] = resident()
    PlackettLuce(user @ item.T, mask, PLACES).sample_and_log_prob()
    metrics["distribution_gib"] = resident()
    return metrics


def measure(cell: Cell) -> dict[str, float]:
    """Measure one of the three."""
    torch.manual_seed(cell.seed)
    sizes = {"items": cell["items"]} if "items" in cell.settings else {}
    return {"speed": speed, "law": law, "memory": memory}[cell["what"]](cell["number"], **sizes)
