"""Mean pooling from PyTorch's own parts, by the Python of an environment that has PyTorch.

No library has this baseline on its own, so that it is written a second time here, from the bag
instead of the sequence: ``EmbeddingBag`` sums the items before each event with weights that halve
with every step (half of the width) or every 32 steps (the other half), a linear map makes the user
vector, and a softmax over all items with the tied embeddings learns both.
"""

import sys

import numpy as np
import torch
from protocol import CAP, Course, Split
from torch.nn import functional

LENGTH = 100
HALF_LIVES = (1.0, 32.0)
SETTINGS = {"size": 64, "dropout": 0.4, "batch_size": 1024, "learning_rate": 0.002}


class Pooling(torch.nn.Module):
    """Bags to logits."""

    def __init__(self, num_items: int, size: int, dropout: float) -> None:
        super().__init__()
        part = size // len(HALF_LIVES)
        self.bags = torch.nn.ModuleList(
            torch.nn.EmbeddingBag(num_items, part, mode="sum") for _ in HALF_LIVES
        )
        for bag in self.bags:
            torch.nn.init.normal_(bag.weight, std=0.1)
        self.dropout, self.out = torch.nn.Dropout(dropout), torch.nn.Linear(size, size)

    def forward(self, items: torch.Tensor, offsets: torch.Tensor, ages: torch.Tensor):
        """Logits (B, N) of bags: their items, where each begins, and steps since each item."""
        pooled = []
        for half_life, bag in zip(HALF_LIVES, self.bags, strict=True):
            weights = 0.5 ** (ages / half_life)
            mass = functional.embedding_bag(
                items,
                torch.ones_like(bag.weight[:, :1]),
                offsets,
                mode="sum",
                per_sample_weights=weights,
            )
            pooled.append(bag(items, offsets, per_sample_weights=weights) / mass)
        table = torch.cat([bag.weight for bag in self.bags], dim=1)
        return self.out(self.dropout(torch.cat(pooled, dim=1))) @ table.T


def bags(histories: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The last items of each history as one row of items, where each begins, and the ages."""
    kept = [items[-LENGTH:] for items in histories]
    lengths = np.array([len(items) for items in kept])
    ends = np.repeat(lengths.cumsum(), lengths)
    ages = ends - 1 - np.arange(lengths.sum())
    starts = lengths.cumsum() - lengths
    return (
        torch.from_numpy(np.concatenate(kept).astype(np.int64)),
        torch.from_numpy(starts),
        torch.from_numpy(ages).float(),
    )


def main(path: str, out: str, seed: str, cap: str = CAP) -> None:
    """Train and write what was found."""
    torch.set_num_threads(1)
    torch.manual_seed(int(seed))
    split = Split(path)
    course = Course(split, max_cpu_seconds=float(cap))
    model = Pooling(split.num_items, SETTINGS["size"], SETTINGS["dropout"])
    optimizer = torch.optim.AdamW(model.parameters(), SETTINGS["learning_rate"])
    events = [(items, end) for items in split.train for end in range(1, len(items))]

    def score(users, histories):
        model.eval()
        with torch.no_grad():
            found = model(*bags(histories)).numpy()
        model.train()
        return found

    ended = False
    while not ended:
        course.start()
        for rows in torch.randperm(len(events)).split(SETTINGS["batch_size"]):
            chosen = [events[row] for row in rows]
            targets = torch.tensor([int(items[end]) for items, end in chosen])
            logits = model(*bags([items[:end] for items, end in chosen]))
            optimizer.zero_grad()
            functional.cross_entropy(logits, targets).backward()
            optimizer.step()
        course.pause()
        ended = course.epoch(score)
    course.write(out, SETTINGS, ["torch", "numpy"])


if __name__ == "__main__":
    main(*sys.argv[1:])
