"""`lightrec export`: what a run recommends by, or two towers of it, as files of their own.

What is written here, :mod:`lightrec_export.exported` reads. :mod:`lightrec_export.towers` has the
networks, and :mod:`lightrec_export.distil` teaches small ones.
"""

import json
import sys
from collections.abc import Mapping
from copy import copy
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import polars as pl
import torch
from lightrec_rules.rules import RuleBook
from torch import Tensor, nn

from lightrec.api import PADDING, Column, EventStore, Key, Ranker, Run
from lightrec.cli.command import with_options_of
from lightrec.data.files import appearing, content_hash, save_tensors
from lightrec.data.names import Names
from lightrec.data.people import People
from lightrec.data.sequences import Sequences
from lightrec.encoders.text import TextEncoder
from lightrec.errors import RecipeError, RunError
from lightrec.evaluation.base import Table, number
from lightrec.evaluation.evidence import favoured_by
from lightrec.evaluation.receipt import RECEIPT, receipt
from lightrec.ranking.blend import Blend
from lightrec.ranking.item_models.demographic import Demographic
from lightrec_export import exported
from lightrec_export.distil import Teacher, distilled
from lightrec_export.parity import TRIED, check, drawn_histories, parity, parity_of_texts
from lightrec_export.towers import (
    BATCH,
    Bytes,
    TextNetwork,
    Towers,
    exporting,
    part_of,
    traced,
    whole,
    write_onnx,
)
from lightrec_export.worth import worth_in

What = Literal["blend", "ranker", "policy"]
SAMPLE: Final = 1_024
"""Number of histories that say which dimensions of the items' rows matter."""


def export(
    run: Run,
    out: Path,
    *,
    what: What | None = None,
    distill: Teacher | None = None,
    size: int | None = None,
    layers: int | None = None,
    int8: bool = False,
    histories: bool = False,
    seed: int = 0,
) -> dict[str, Any]:
    """Export what a run recommends by, or the two towers of its ranker or policy.

    A blend is written with its ranker and item models. Of two towers, an item's score is a
    history's query · the item's row, plus the item's bias. The export is tried on histories of the
    log, and nothing is left of one that does not score as its run does.

    :param run: a run with a finished ranker or policy, such as runs/video.
    :param out: a folder that is not there yet.
    :param what: the blend; or two towers: the ranker's (the next event) or the policy's (the long
        run), if that has them. By default what `lightrec recommend` ranks by, or the ranker where
        settings of towers are given.
    :param distill: teach a new ranker what the blend, or the ranker alone, says, and export that.
    :param size: the dimensions of queries and rows; by default all.
    :param layers: of the user tower that --distill teaches; by default as many as the ranker has.
    :param int8: write rows and weights as whole numbers of 8 bits with a scale for each row.
    :param histories: write the users' histories, so that people are known by their ids.
    :param seed: draws the histories that are tried, and those that --distill learns from.
    :returns: the manifest.
    :raises RecipeError: where something is at ``out``, or settings do not go together.
    :raises RunError: where the run has no such part, or it cannot be exported.
    """
    if out.exists() or out.is_symlink():
        raise RecipeError(f"There is something at {out} already: name a folder that is not there.")
    if distill is None and layers is not None:
        raise RecipeError(
            "--layers is for the ranker that --distill teaches: add --distill blend, or leave it "
            "out."
        )
    if distill is not None and what not in (None, "ranker"):
        raise RecipeError(f"--distill teaches a ranker: leave out --what {what}, or --distill.")
    of_towers = distill is not None or size is not None or int8
    if of_towers and what == "blend":
        raise RecipeError(
            "A blend has no two towers that could be smaller: leave out --size and --int8, or take "
            "--what ranker or --distill blend."
        )
    if run.domain.restricts:
        raise RunError(
            f"The domain {run.domain.name} says what may be shown to whom, and an export cannot "
            "tell: serve the run itself."
        )
    what = what or ("ranker" if of_towers else leaving(run))
    store = run.data
    book = RuleBook(run.base, Names.of(store).number)
    book.of(store.catalog, store.item_kinds)  # rules that cannot leave are refused here
    if what == "blend":
        return export_blend(run, out, histories, seed, book)
    if missing := [n for n in ("onnx", "onnxscript", "onnxruntime") if find_spec(n) is None]:
        raise RecipeError(
            f"Two towers need {', '.join(missing)}: pip install 'lightrec-export[onnx]'."
        )
    if distill is None:
        part, taught = part_of(run, what), None
    else:
        part, taught = distilled(run, distill, size, layers, seed)
    towers = Towers(part)
    network = towers.network
    if size is not None and taught is None:
        towers.cut(size, drawn_histories(store, network.length, SAMPLE, seed))
    if int8:
        network.inner = Bytes(network.inner)
    if what == "ranker" and taught is None and (unread := unread_by_towers(run.served.ranker)):
        print(unread, file=sys.stderr)
    encoder = text_encoder(run) if what == "ranker" else None
    with appearing(out) as folder:
        tensors = {"bias": towers.bias, "events": torch.from_numpy(store.popularity()).int()}
        save_tensors(tensors | written("table", towers.table, int8), folder / exported.ITEMS)
        if histories:
            log = Sequences.chosen(store)
            items = pl.Series("items", np.split(np.asarray(log.items), log.offsets[1:-1]))
            users = store.user_ids.cast(pl.String).alias(Column.USER)
            pl.DataFrame([users, items]).write_parquet(folder / exported.HISTORIES)
        with exporting(f"query network of the {what}"):
            program = traced(network, torch.zeros(2, 3, dtype=torch.int64))
            write_onnx(program, folder / exported.ONNX)
        text = None
        if encoder is not None:
            vectors = run.ranker.items.vectors
            save_tensors(written("vectors", vectors, int8), folder / exported.TEXTS)
            with exporting("text encoder"):
                text = write_encoder(encoder, folder, int8)
        said = {
            "class": towers.name,
            "size": towers.table.shape[1],
            "int8": int8,
            "distilled": taught,
            "history_length": network.length,
            "text": text,
        }
        manifest = described(run, what, folder, said)
        tried = parity(folder, towers, drawn_histories(store, network.length, TRIED, seed + 1))
        if encoder is not None:
            tried |= parity_of_texts(folder, encoder, store.catalog[Column.TEXT].drop_nulls())
        # An export that is cut or in whole numbers need only say what the reduced network says.
        exact = not int8 and network.turn is None
        difference = tried["scores" if exact else "network"]
        check(f"{exported.ONNX} scores items other than the run does: by", difference)
        if exact:
            check("The exported text encoder's vectors differ by", tried.get("text", 0.0))
        manifest["parity"] = tried
        write_manifest(manifest, folder)
        book.copy(folder)  # not among the manifest's files: rules change
    return manifest


def export_blend(run: Run, out: Path, histories: bool, seed: int, book: RuleBook) -> dict[str, Any]:
    """Export the blend that a run serves; the arguments are those of :func:`export`.

    :param book: the run's standing rules.
    """
    store, blend = run.data, run.served
    with appearing(out) as folder:
        blend.ranker.save_pretrained(folder / exported.BLEND)
        leaves = blend if histories else without_people(blend)
        leaves.save(folder / exported.BLEND)
        tensors = {
            "table": blend.ranker.item_vectors().detach(),
            "bias": blend.ranker.bias.detach(),
            "events": torch.from_numpy(run.learned.popularity()).int(),
            exported.POPULAR: run.popularity.counts,
        }
        attributes = run.demographic if histories else None
        if attributes is not None:
            for name, table in attributes.named_buffers():
                tensors[exported.ATTRIBUTES + name] = table
        save_tensors(tensors, folder / exported.ITEMS)
        if histories:
            everybody(store).write_parquet(folder / exported.HISTORIES)
        said = {
            "class": type(blend).__name__,
            "size": blend.ranker.size,
            "int8": False,
            "distilled": None,
            "history_length": None,
            "text": None,
            "attributes": None if attributes is None else attributes.description,
        }
        manifest = described(run, exported.BLEND, folder, said)
        held = exported.Exported(folder).blend
        assert held is not None
        tried = drawn_histories(store, None, TRIED, seed + 1)
        with torch.no_grad():
            off = (held.scores(tried) - blend.scores(tried))[:, 1:]
        difference = float(off.abs().max())
        check("The exported blend scores items other than the run does: by", difference)
        manifest["parity"] = {"histories": len(tried), "blend": {"scores": difference}}
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
    copied = Blend(blend.ranker, models, blend.weights, blend.smoothing, blend.reranker)
    copied.l2, copied.text_weights, copied.chosen = blend.l2, blend.text_weights, blend.chosen
    return copied


def everybody(store: EventStore) -> pl.DataFrame:
    """List what is known of each person: ``user``, ``items`` and what a blend reads beside them."""
    tables = []
    for users, details, *_ in People(store).everybody(BATCH):
        there = details[Key.HISTORY] > PADDING
        columns = {Column.USER: users[Column.USER].cast(pl.String)}
        for name, table in details.items():
            if name == Key.USER:
                columns[exported.ROW] = pl.Series(table.tolist())
            elif name == Key.PROFILE:
                columns[name] = pl.Series(table.tolist(), dtype=pl.List(pl.Float32))
            else:
                rows = [row[events].tolist() for row, events in zip(table, there, strict=True)]
                column = "items" if name == Key.HISTORY else name
                columns[column] = pl.Series(rows, dtype=pl.List(pl.Int64))
        tables.append(pl.DataFrame(columns))
    return pl.concat(tables, how="diagonal")


def described(run: Run, what: What, folder: Path, said: Mapping[str, Any]) -> dict[str, Any]:
    """Write what all exports have: the catalog, the receipt, and a manifest that hashes all files.

    :returns: the manifest.
    """
    run.data.catalog.write_parquet(folder / exported.CATALOG)
    (folder / RECEIPT).write_text(json.dumps(receipt(run), indent=2) + "\n")
    manifest = {
        "format": exported.FORMAT,
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
            path.relative_to(folder).as_posix(): content_hash(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        },
    }
    write_manifest(manifest, folder)
    return manifest


def write_manifest(manifest: Mapping[str, Any], folder: Path) -> None:
    """Write the manifest."""
    (folder / exported.MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def leaving(run: Run) -> Literal["blend", "policy"]:
    """Say what of a run leaves: what `lightrec recommend` ranks by.

    :raises RunError: where that cannot leave.
    """
    by, _ = favoured_by(run)
    if by in ("blend", "policy"):
        return "policy" if by == "policy" else "blend"
    raise RunError(
        f"`lightrec recommend` ranks by the {by.replace('-', ' ')} of the blend and user model A, "
        "and user model A cannot be exported. Export the blend alone (--what blend), or serve the "
        "run itself."
    )


def unread_by_towers(ranker: Ranker) -> str:
    """Say what a ranker reads that its exported query network does not; empty for nothing."""
    tables = {"kinds of feedback": ranker.feedback, "times between events": ranker.gaps}
    if not (names := [name for name, table in tables.items() if table is not None]):
        return ""
    return (
        f"The query network reads items alone; of the run's own ranker, what it says of "
        f"{' and '.join(names)} is left behind. --what blend exports all of it."
    )


@with_options_of(export)
def command(run: Path, out: Path, **options: Any) -> None:
    """Export what a run recommends by, or the two towers of its ranker or policy.

    examples:
      lightrec export runs/video exported --histories
      lightrec export runs/video exported --what ranker
      lightrec export runs/video small --int8 --size 32
      lightrec export runs/video small --distill blend --size 32 --layers 1
      lightrec serve exported

    Mostly that is the blend: its lists are those of `lightrec recommend`, and to read it neither
    lightning nor torchrl is needed. Other programs read two towers, as ONNX and safetensors: an
    item's score is a history's query · the item's row, plus the item's bias. Each export is tried
    on histories of the log, and one that does not score as its run does is not left.

    A blend has no two towers: --distill teaches a new ranker what it says after training histories,
    and prints what is lost and saved.
    """
    made = export(Run(run), out, **options)
    if made["distilled"]:
        print(table_of(made["distilled"]).text(), end="\n\n")
    total = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    print(f"{out}: {total / 2**20:.1f} MiB; scores differ from the run's by so much at most:")
    print(json.dumps(made["parity"], indent=2))


def table_of(taught: Mapping[str, Any]) -> Table:
    """Set what the manifest says of a student, its teacher and the run's ranker."""
    rows = [
        [
            f"{name} (teacher)" if name == taught["teacher"] else name,
            number(figures["ndcg@10"], 4),
            f"{100 * figures['top10']:.1f} %",
            f"{figures['mib']:.1f}",
            f"{figures['ms']:.3f}",
        ]
        for name, figures in taught["parts"].items()
    ]
    head = ["on validation events", "NDCG@10", "teacher's ten best", "MiB", "ms a user"]
    return Table(head, rows, own="student")


def written(name: str, table: Tensor, int8: bool) -> dict[str, Tensor]:
    """A table as it is written, as :func:`lightrec_export.exported.rows_of` reads it."""
    if not int8:
        return {name: table}
    rows, scale = whole(table)
    return {name: rows, name + exported.SCALE: scale}


def text_encoder(run: Run) -> TextEncoder | None:
    """The encoder of the texts that the ranker reads; what is left out is said."""
    if not run.ranker.items.uses_text:
        return None
    try:
        encoder = run.wishes.encoder
        if isinstance(encoder, TextEncoder):
            return encoder
        why = f": a {type(encoder).__name__} cannot be exported."
    except RunError as error:
        why = f". {error}"
    print(f"The export has no text encoder{why}", file=sys.stderr)
    return None


def write_encoder(encoder: TextEncoder, folder: Path, int8: bool) -> dict[str, Any]:
    """Write a text encoder and its tokenizer.

    :returns: what the manifest says of them.
    """
    network: nn.Module = TextNetwork(encoder)
    if int8:
        network = Bytes(network)
    (folder / exported.TEXT_ONNX).parent.mkdir()
    tokens = torch.ones(2, 3, dtype=torch.int64)
    # Two tensors: one that is given twice would be taken for one input.
    write_onnx(traced(network, tokens, tokens.clone()), folder / exported.TEXT_ONNX)
    tokenizer = encoder.tokenizer
    tokenizer.save_pretrained((folder / exported.TOKENIZER).parent)
    card = encoder.card
    said = {"prompt": card.prompt, "lower": card.lower, "max_length": card.max_length}
    return said | {"pad": tokenizer.pad_token_id}
