"""One training step of the full softmax over a large catalog: how much memory it adds.

    python -m benchmarks.softmax_step added.json --rows 64

A process of its own, whose peak resident set is compared with what it must hold anyway: the
libraries, and weights, gradients and AdamW's two moments.
"""

import argparse
import json
import resource
from pathlib import Path

import torch

from lightrec.keys import Key
from lightrec.ranking.module import RankingModule

LENGTH, SEEN = 50, 100
GIB = 2**30


def measure(items: int, size: int, rows: int) -> dict[str, float]:
    """Take one step and give gibibytes: held (weights and their company) and added (the rest)."""
    libraries = peak()
    torch.manual_seed(0)
    module = RankingModule(items, 0, size=size, max_length=LENGTH, mask_seen=True)
    optimizer = torch.optim.AdamW(module.parameters())
    batch = {
        Key.HISTORY: torch.randint(1, items + 1, (rows, LENGTH)),
        Key.TARGET: torch.randint(1, items + 1, (rows, LENGTH)),
        Key.SEEN: torch.randint(0, items + 1, (rows, SEEN)),
    }
    loss = module.loss(batch)
    loss.backward()
    optimizer.step()
    held = 4 * sum(p.numel() * p.element_size() for p in module.parameters())
    added = peak() - libraries - held
    return {"loss": loss.item(), "held_gib": held / GIB, "added_gib": added / GIB}


def peak() -> int:
    """Give the peak resident set in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Measure and write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--rows", type=int, default=64)
    arguments = parser.parse_args()
    found = measure(arguments.items, arguments.size, arguments.rows)
    arguments.out.write_text(json.dumps(found, indent=2) + "\n")
    print(found)


if __name__ == "__main__":
    main()
