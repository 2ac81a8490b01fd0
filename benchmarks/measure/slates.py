"""Top-10 slates of a two-tower policy: speed and memory. Tests compare their law with fractions.

Width 64, and scores that are normal among the items of a user.
"""

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.measure import Cell, resident
from lightrec.nn.plackett_luce import PlackettLuce
from lightrec.nn.slates import Slates, SlateSampler, chunks, joined, ordered_steps

ITEMS, WIDTH, PLACES = 10_000, 64, 10
SPREADS = (1.0, 1.5, 2.0, 5.0)
"""Standard deviations of a user's scores; the last is peaked."""
TIMED = 2048
"""Users, or the same ones several times, that are timed together."""
REPETITIONS = 15

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
    """Measure one of the two."""
    torch.manual_seed(cell.seed)
    sizes = {"items": cell["items"]} if "items" in cell.settings else {}
    return {"speed": speed, "memory": memory}[cell["what"]](cell["number"], **sizes)
