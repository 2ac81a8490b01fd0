"""A small log with a pattern to learn, as files of a newcomer: CSV, made from a seed."""

from pathlib import Path

import numpy as np

USERS, ITEMS, GROUPS = 60, 48, 4


def write_log(folder: Path, seed: int = 0) -> tuple[Path, Path]:
    """Write ``log.csv`` and ``items.csv``: each user walks through a group of items in order."""
    generator = np.random.default_rng(seed)
    size = ITEMS // GROUPS
    lines = ["customer,sku,when"]
    for user in range(USERS):
        group, place = user % GROUPS, int(generator.integers(size))
        for step in range(10):
            item = group * size + (place + step) % size
            lines.append(f"u{user},i{item},2024-01-{step + 1:02d}T12:00:00")
    items = ["sku,title,kind"]
    kinds = ["tea", "rope", "lamp", "song"]
    items += [f"i{i},{kinds[i // size]} number {i % size},{kinds[i // size]}" for i in range(ITEMS)]
    log, table = folder / "log.csv", folder / "items.csv"
    log.write_text("\n".join(lines) + "\n")
    table.write_text("\n".join(items) + "\n")
    return log, table
