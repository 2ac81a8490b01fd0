"""One training step of the full softmax over a large catalog: how much memory it adds.

A process of its own, whose peak resident set is compared with what it must hold anyway: the
libraries, and weights, gradients and AdamW's two moments.
"""

import torch

from benchmarks.measure import Cell, resident
from lightrec.keys import Key
from lightrec.ranking.losses import SoftmaxLoss
from lightrec.ranking.module import RankingModule

LENGTH, SEEN = 50, 100


def step(items: int, size: int, rows: int) -> dict[str, float]:
    """Take one step; gibibytes: held (weights and their company) and added (the rest)."""
    libraries = resident()
    torch.manual_seed(0)
    module = RankingModule(items, 0, size, max_length=LENGTH, mask_seen=True, loss=SoftmaxLoss())
    optimizer = torch.optim.AdamW(module.parameters())
    batch = {
        Key.HISTORY: torch.randint(1, items + 1, (rows, LENGTH)),
        Key.TARGET: torch.randint(1, items + 1, (rows, LENGTH)),
        Key.SEEN: torch.randint(0, items + 1, (rows, SEEN)),
    }
    loss = module.loss(batch)
    loss.backward()
    optimizer.step()
    held = 4 * sum(p.numel() * p.element_size() for p in module.parameters()) / 2**30
    added = resident() - libraries - held
    return {"loss": loss.item(), "held_gib": held, "added_gib": added}


def measure(cell: Cell) -> dict[str, float]:
    """Take one step."""
    return step(cell["items"], cell["size"], cell["rows"])
