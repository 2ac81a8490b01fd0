"""How a blend is exported, and what all exports have: a manifest, and histories that try them."""

import json
from collections.abc import Mapping
from copy import copy
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import polars as pl
import torch
from lightrec_rules.rules import RuleBook
from torch import Tensor

from lightrec.data.files import appearing, save_tensors
from lightrec.data.people import People
from lightrec.data.sequences import Sequences
from lightrec.data.store import EventStore, padded
from lightrec.errors import RunError
from lightrec.evaluation.receipt import RECEIPT, receipt
from lightrec.keys import PADDING, Column, Key
from lightrec.ranking.blend import Blend
from lightrec.ranking.item_models.demographic import Demographic
from lightrec.run import Run
from lightrec_export.exported import (
    ATTRIBUTES,
    BLEND,
    CATALOG,
    FORMAT,
    HISTORIES,
    ITEMS,
    MANIFEST,
    POPULAR,
    ROW,
    Exported,
    digest,
)
from lightrec_export.towers import BATCH
from lightrec_export.worth import worth_in

What = Literal["blend", "ranker", "policy"]
TOLERANCE: Final = 1e-4
"""The largest difference of a score that an export may show."""
TRIED: Final = 256
"""So many histories try whether an export scores as its run does."""


def export_blend(run: Run, out: Path, histories: bool, seed: int, book: RuleBook) -> dict[str, Any]:
    """Export the blend that a run serves; the arguments are those of :func:`export`.

    :param book: the run's standing rules.
    """
    store, blend = run.data, run.served
    with appearing(out) as folder:
        blend.ranker.save_pretrained(folder / BLEND)
        own = without_people(blend) if not histories else blend
        own.save(folder / BLEND)
        tensors = {
            "table": blend.ranker.item_vectors().detach(),
            "bias": blend.ranker.bias.detach(),
            "events": torch.from_numpy(run.learned.popularity()).int(),
            POPULAR: run.popularity.counts,
        }
        attributes = run.demographic if histories else None
        if attributes is not None:
            tensors |= {ATTRIBUTES + name: table for name, table in attributes.named_buffers()}
        save_tensors(tensors, folder / ITEMS)
        if histories:
            everybody(store).write_parquet(folder / HISTORIES)
        said = {
            "class": type(blend).__name__,
            "size": blend.ranker.size,
            "int8": False,
            "distilled": None,
            "history_length": None,
            "text": None,
            "attributes": None if attributes is None else attributes.description,
        }
        manifest = described(run, BLEND, folder, said)
        held = Exported(folder).blend
        assert held is not None
        given = drawn_histories(store, None, TRIED, seed + 1)
        with torch.no_grad():
            off = (held.scores(given) - blend.scores(given))[:, 1:]
        difference = float(off.abs().max())
        check("The exported blend scores items other than the run does: by", difference)
        manifest["parity"] = {"histories": len(given), "blend": {"scores": difference}}
        write_manifest(manifest, folder)
        book.copy(folder)
    return manifest


def without_people(blend: Blend) -> Blend:
    """Copy a blend without what it knows of the attributes of the log's users."""
    models = {name: copy(blend.item_model(name)) for name in blend.item_models}
    for model in models.values():
        model._buffers = dict(model._buffers)
        if isinstance(model, Demographic):
            model.people = model.people[:0]
    found = Blend(blend.ranker, models, blend.weights, blend.smoothing)
    found.l2, found.text_weights, found.chosen = blend.l2, blend.text_weights, blend.chosen
    return found


def everybody(store: EventStore) -> pl.DataFrame:
    """List what is known of each person: ``user``, ``items`` and what a blend reads beside them."""
    tables = []
    for users, known, _ in People(store).everybody(BATCH):
        there = known[Key.HISTORY] > PADDING
        columns = {Column.USER: users[Column.USER].cast(pl.String)}
        for name, table in known.items():
            if name == Key.USER:
                columns[ROW] = pl.Series(table.tolist())
            elif name == Key.PROFILE:
                columns[name] = pl.Series(table.tolist(), dtype=pl.List(pl.Float32))
            else:
                rows = [row[own].tolist() for row, own in zip(table, there, strict=True)]
                column = "items" if name == Key.HISTORY else name
                columns[column] = pl.Series(rows, dtype=pl.List(pl.Int64))
        tables.append(pl.DataFrame(columns))
    return pl.concat(tables, how="diagonal")


def check(what: str, difference: float) -> None:
    """See that an export says what its run says.

    :param what: of the export differs, in words.
    :raises RunError: where the difference is above :data:`TOLERANCE`.
    """
    if not difference <= TOLERANCE:
        raise RunError(
            f"{what} up to {difference:.2g}, where {TOLERANCE:g} may be. Nothing was exported; "
            "serve the run itself."
        )


def described(run: Run, what: What, folder: Path, said: Mapping[str, Any]) -> dict[str, Any]:
    """Write what all exports have: the catalog, the receipt, and a manifest that hashes all files.

    :returns: the manifest.
    """
    run.data.catalog.write_parquet(folder / CATALOG)
    (folder / RECEIPT).write_text(json.dumps(receipt(run), indent=2) + "\n")
    manifest = {
        "format": FORMAT,
        "lightrec": version("lightrec"),
        "run": run.name,
        "what": what,
        **said,
        "repeats": run.data.repeats,
        "note": run.domain.disclaimer,
        "kinds": dict(run.data.item_kinds),
        "feedback_kinds": [*run.data.feedback_kinds],
        "worth": worth_in(run),
        "goal": run.data.goal,
        "files": {
            path.relative_to(folder).as_posix(): digest(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        },
    }
    write_manifest(manifest, folder)
    return manifest


def write_manifest(manifest: Mapping[str, Any], folder: Path) -> None:
    """Write the manifest."""
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def drawn_histories(store: EventStore, length: int | None, count: int, seed: int) -> Tensor:
    """Draw histories of a log: an eighth empty, an eighth short, an eighth longer than is read.

    :returns: (count, L) int64, padded on the left.
    """
    generator, log = np.random.default_rng(seed), Sequences.chosen(store)
    users = generator.integers(0, store.num_users, count)
    starts, ends = log.offsets[users], log.offsets[users + 1]
    cut = starts + np.ceil(generator.random(count) * (ends - starts)).astype(np.int64)
    part = np.arange(count) % 8
    cut = np.where(part == 0, starts, np.where(part == 1, np.minimum(cut, starts + 3), cut))
    found = padded(log.items, starts, cut)
    if length is not None:
        more = 2 * length - found.shape[1]
        found = np.pad(found, ((0, 0), (max(0, more), 0)))
        long = generator.integers(1, store.num_items + 1, found.shape)
        found = np.where((part == 2)[:, None] & (found == PADDING), long, found)
    return torch.from_numpy(found)
