"""Exports: a run's two towers as files that other programs read.

What is written here, :mod:`lightrec_serve.exported` reads.
"""

import json
import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.func import functional_call
from torch.nn.functional import embedding, pad

from lightrec.data.files import appearing, save_tensors
from lightrec.data.sequences import Sequences
from lightrec.data.store import EventStore, padded
from lightrec.encoders.text import TextEncoder
from lightrec.errors import RecipeError, RunError
from lightrec.evaluation.receipt import RECEIPT, receipt
from lightrec.keys import PADDING, Column
from lightrec.policies.base import TwoTowerPolicy, session_start
from lightrec.ranking.ranker import Ranker
from lightrec.run import Run
from lightrec_serve.exported import (
    CATALOG,
    FORMAT,
    HISTORIES,
    ITEMS,
    MANIFEST,
    ONNX,
    PT2,
    SCALE,
    TEXT_ONNX,
    TEXTS,
    TOKENIZER,
    Engine,
    Exported,
    digest,
)

TOLERANCE: Final = 1e-4
"""The largest difference of a score that an export may show."""
TRIED: Final = 256
"""So many histories try whether an export scores as its run does."""
SAMPLE: Final = 1_024
"""So many histories say which dimensions of the items' rows matter."""
TILT: Final = 0.25
"""The power of an item's mean probability by which its row counts there. On MovieLens-100K's
validation events half of the dimensions lose least NDCG@10 with it (of 0, 1/4, 1/2, 3/4 and 1)."""
SMALL: Final = 256
"""Parameters of fewer numbers stay as they are in an export by whole numbers."""
BATCH: Final = 64
TEXTS_TRIED: Final = 32
"""So many texts of the catalog try the text encoder."""


def export(
    run: Run,
    out: Path,
    *,
    what: Literal["ranker", "policy"] = "ranker",
    int8: bool = False,
    size: int | None = None,
    histories: bool = False,
    seed: int = 0,
) -> dict[str, Any]:
    """Export the towers of a run's ranker or policy: a query network and the items' rows.

    An item's score is a history's query · the item's row, plus the item's bias. The export is tried
    on histories of the log, and nothing is left of one that does not score as its run does.

    :param run: with a finished ranker, or policy.
    :param out: a folder that is not there yet.
    :param what: the ranker (the next event) or the policy (the long run), if that has two towers.
    :param int8: write rows and weights as whole numbers of 8 bits with a scale for each row.
    :param size: the dimensions of queries and rows; by default all.
    :param histories: write the users' histories, so that people are known by their ids.
    :param seed: draws the histories that are tried.
    :returns: the manifest.
    :raises RecipeError: where something is at ``out``, or the size is none.
    :raises RunError: where the run has no such part, or it cannot be exported.
    """
    if out.exists() or out.is_symlink():
        raise RecipeError(f"There is something at {out} already: name a folder that is not there.")
    if run.domain.restricts:
        raise RunError(
            f"The domain {run.domain.name} says what may be shown to whom, and an export cannot "
            "tell: serve the run itself."
        )
    store, towers = run.data, Towers(run, what)
    network, table, bias = towers.network, towers.table, towers.bias
    if size is not None:
        if not 1 <= size < table.shape[1]:
            raise RecipeError(
                f"--size should be 1 to {table.shape[1] - 1}, since the items' rows have "
                f"{table.shape[1]} dimensions, and not {size}."
            )
        drawn = drawn_histories(store, network.length, SAMPLE, seed)
        network.turn, table = principal(in_batches(network, drawn), table, bias, size)
    if int8:
        network.inner = Bytes(network.inner)
    encoder = text_encoder(run) if what == "ranker" else None
    with appearing(out) as folder:
        tensors = {"bias": bias, "events": torch.from_numpy(store.popularity()).int()}
        save_tensors(tensors | written("table", table, int8), folder / ITEMS)
        store.catalog.write_parquet(folder / CATALOG)
        (folder / RECEIPT).write_text(json.dumps(receipt(run), indent=2) + "\n")
        if histories:
            users_histories(store).write_parquet(folder / HISTORIES)
        with exporting(f"query network of the {what}"):
            program = traced(network, torch.zeros(2, 3, dtype=torch.int64))
            write_onnx(program, folder / ONNX)
            write_pt2(program, folder / PT2)
        text = None
        if encoder is not None:
            vectors = run.ranker.items.vectors
            save_tensors(written("vectors", vectors, int8), folder / TEXTS)
            with exporting("text encoder"):
                text = write_encoder(encoder, folder, int8)
        manifest = {
            "format": FORMAT,
            "lightrec": version("lightrec"),
            "run": run.name,
            "what": what,
            "class": towers.name,
            "size": table.shape[1],
            "int8": int8,
            "history_length": network.length,
            "repeats": store.repeats,
            "note": run.domain.disclaimer,
            "kinds": dict(store.item_kinds),
            "text": text,
            "files": {
                path.relative_to(folder).as_posix(): digest(path)
                for path in sorted(folder.rglob("*"))
                if path.is_file()
            },
        }
        write_manifest(manifest, folder)
        found = parity(folder, towers, drawn_histories(store, network.length, TRIED, seed + 1))
        if encoder is not None:
            found |= parity_of_texts(folder, encoder, store.catalog[Column.TEXT].drop_nulls())
        refuse(found, exact=not int8 and size is None)
        write_manifest(manifest | {"parity": found}, folder)
    return manifest | {"parity": found}


class Towers:
    """A run's part that scores by two towers.

    :raises RunError: where the run's part has none.
    """

    def __init__(self, run: Run, what: Literal["ranker", "policy"]) -> None:
        inner: nn.Module
        self.scores: Callable[[Tensor], Tensor]
        """Of histories (B, L), what the part itself gives: (B, N + 1)."""
        if what == "ranker":
            ranker = run.ranker
            self.name, self.scores = type(ranker).__name__, ranker.scores
            self.table, self.bias = ranker.item_vectors().detach(), ranker.bias.detach()
            inner = RankerQuery(ranker)
        else:
            held = run.holding("policy")
            policy = held.policy
            self.name = type(policy).__name__
            if held is not run:
                raise RunError(
                    f"The policy is that of version {held.version}, whose items are other ones: "
                    f"export {held.path}."
                )
            if not isinstance(policy, TwoTowerPolicy):
                raise RunError(
                    f"The policy, a {self.name}, does not score by two towers: export the ranker, "
                    "or serve the run itself."
                )
            self.scores = partial(scores_of, policy)
            self.table = policy.item_table().detach()
            self.bias = torch.zeros(len(self.table))
            inner = PolicyQuery(policy)
        self.table = self.table.index_fill(0, torch.tensor([PADDING]), 0.0)
        self.network = Network(inner).eval().requires_grad_(False)


def scores_of(policy: TwoTowerPolicy, histories: Tensor) -> Tensor:
    """Score all items for sessions that begin, (B, N + 1)."""
    return policy.scores(session_start(histories))


class Network(nn.Module):
    """From histories (B, L) int64, L at least 1, to queries (B, D).

    :param inner: computes queries of histories (B, ``length``).
    """

    turn: Tensor | None
    """(D, d) what queries are multiplied by; None for nothing."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        limits = [
            getattr(part, name, None)
            for part in inner.modules()
            for name in ("history_length", "max_length")
        ]
        self.length = max(filter(None, limits), default=None)
        """So many last items are read; None for all."""
        self.register_buffer("turn", None)

    def forward(self, history: Tensor) -> Tensor:
        """Compute queries."""
        if self.length is not None:
            # More padding changes nothing, and shapes that are known can be exported.
            more = history.new_zeros(history.shape[0], self.length)
            history = torch.cat([more, history], 1)[:, -self.length :]
        found = self.inner(history)
        return found if self.turn is None else found @ self.turn


class RankerQuery(nn.Module):
    """A ranker's user tower."""

    def __init__(self, ranker: Ranker) -> None:
        super().__init__()
        self.ranker = without_items(ranker)

    def forward(self, history: Tensor) -> Tensor:
        """Compute user vectors."""
        return self.ranker.user_vectors(history)


class PolicyQuery(nn.Module):
    """A policy's query, of sessions that begin."""

    def __init__(self, policy: TwoTowerPolicy) -> None:
        super().__init__()
        self.policy = deepcopy(policy)
        for name, part in self.policy.named_children():
            if isinstance(part, Ranker):
                setattr(self.policy, name, without_items(part))
        for part in self.policy.modules():
            for name, value in [*part.named_buffers(recurse=False)]:
                if value.dtype == torch.bool and not value.ndim:
                    # Which way the code goes by it is exported.
                    delattr(part, name)
                    setattr(part, name, bool(value))

    def forward(self, history: Tensor) -> Tensor:
        """Compute queries."""
        return self.policy.query(session_start(history))


class Lookup(nn.Module):
    """Item vectors in the place of the item tower.

    :param rows: (N + 1, D).
    """

    rows: Tensor
    scale: Tensor | None
    """(N + 1,) what rows are multiplied by where they are whole numbers."""

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        self.register_buffer("rows", rows)
        self.register_buffer("scale", None)

    def forward(self, items: Tensor) -> Tensor:
        """Give vectors of items, of any shape."""
        if self.scale is None:
            return embedding(items, self.rows)
        return self.rows[items].float() * self.scale[items][..., None]


class Bytes(nn.Module):
    """A module whose tables and weights are whole numbers of 8 bits, with a scale for each row.

    :param inner: is changed: its own weights are taken away.
    """

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        for part in inner.modules():
            if isinstance(part, Lookup):
                part.rows, part.scale = whole(part.rows)
        self.inner, self.names = inner, list[str]()
        for name, tensor in [*inner.named_parameters(), *inner.named_buffers()]:
            if tensor.is_floating_point() and tensor.ndim > 1 and tensor.numel() >= SMALL:
                rows, scale = whole(tensor.detach())
                self.register_buffer(f"rows_{len(self.names)}", rows)
                self.register_buffer(f"scale_{len(self.names)}", scale)
                self.names.append(name)
                tensor.data = tensor.new_zeros(())

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Compute what the module computes, of a history or of tokens and their mask."""
        given = (tokens,) if mask is None else (tokens, mask)
        weights = {}
        for place, name in enumerate(self.names):
            rows, scale = getattr(self, f"rows_{place}"), getattr(self, f"scale_{place}")
            weights[name] = rows.float() * scale.view(-1, *[1] * (rows.ndim - 1))
        found: Tensor = functional_call(self.inner, weights, given)
        return found


class TextNetwork(nn.Module):
    """A text encoder, from tokens and their mask, (B, T) int64 each, to vectors (B, V)."""

    def __init__(self, encoder: TextEncoder) -> None:
        super().__init__()
        encoder.load_weights()
        self.encoder = deepcopy(encoder).cpu().eval().requires_grad_(False)
        own: Any = self.encoder.transformer
        own.set_attn_implementation("eager")  # the fused one is not exported for any length

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Compute vectors."""
        return self.encoder({"input_ids": tokens, "attention_mask": mask})


def without_items(ranker: Ranker) -> Ranker:
    """Copy what a user tower needs of a ranker, the item tower being a table."""
    rows = ranker.item_vectors().detach().clone()
    copied = deepcopy(ranker).eval()
    copied.items = Lookup(rows)  # type: ignore[assignment]
    copied.bias = nn.Parameter(torch.zeros(0), requires_grad=False)
    return copied


def whole(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Round rows (M, ...) to whole numbers -127 to 127 of a scale of their own: int8 and (M,)."""
    largest = rows.flatten(1).abs().amax(1)
    scale = torch.where(largest > 0, largest / 127, 1.0)
    return (rows / scale.view(-1, *[1] * (rows.ndim - 1))).round().to(torch.int8), scale


def written(name: str, table: Tensor, int8: bool) -> dict[str, Tensor]:
    """Give a table as it is written, as :func:`lightrec_serve.exported.rows_of` reads it."""
    if not int8:
        return {name: table}
    rows, scale = whole(table)
    return {name: rows, name + SCALE: scale}


def principal(queries: Tensor, table: Tensor, bias: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Find the directions in which items' scores differ most, and turn both towers into them.

    The squared error of scores is least, over queries and over items with weights, where the rows
    in units of the queries' own spread are cut to their first principal directions (the theorem of
    Eckart and Young 1936). What is the same for all items ranks nothing, and is left out. An item
    weighs by the root of its mean probability, so that those which may be shown are kept best.

    :param queries: (Q, D) a sample.
    :param table: (N + 1, D), and ``bias`` (N + 1,).
    :returns: (D, size) what queries are to be multiplied by, and rows (N + 1, size).
    """
    asked, rows = queries.double(), table[1:].double()
    likely = torch.zeros(len(rows), dtype=torch.float64)
    for some in asked.split(BATCH):
        likely += (some @ rows.T + bias[1:]).softmax(1).sum(0) / len(asked)
    weight = likely.clamp_min(likely.max() * 1e-6) ** TILT
    rows = rows - weight.square() @ rows / weight.square().sum()
    moments = asked.T @ asked / len(asked)
    spread, axes = torch.linalg.eigh(moments)
    root = spread.clamp_min(spread.max() * 1e-6).sqrt()
    there, back = axes * root @ axes.T, axes / root @ axes.T
    weighted = weight[:, None] * (rows @ there)
    turn = torch.linalg.eigh(weighted.T @ weighted)[1].flip(1)[:, :size]
    return (back @ turn).float(), pad((rows @ there @ turn).float(), (0, 0, 1, 0))


@torch.no_grad()
def in_batches(compute: Callable[[Tensor], Tensor], histories: Tensor) -> Tensor:
    """Compute something of some histories at a time."""
    return torch.cat([compute(some) for some in histories.split(BATCH)])


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


def users_histories(store: EventStore) -> pl.DataFrame:
    """List what each user chose: ``user`` and ``items``."""
    log = Sequences.chosen(store)
    items = pl.Series("items", np.split(np.asarray(log.items), log.offsets[1:-1]))
    return pl.DataFrame([store.user_ids.cast(pl.String).alias(Column.USER), items])


def text_encoder(run: Run) -> TextEncoder | None:
    """Give what encodes the texts that the ranker reads; what is left out is said."""
    if not run.ranker.items.uses_text:
        return None
    try:
        encoder = run.wishes.encoder
    except RunError as error:
        print(f"The export has no text encoder. {error}", file=sys.stderr)
        return None
    if not isinstance(encoder, TextEncoder):
        kind = type(encoder).__name__
        print(f"The export has no text encoder: a {kind} cannot be exported.", file=sys.stderr)
        return None
    return encoder


def traced(network: nn.Module, *examples: Tensor) -> ExportedProgram:
    """Trace a network of tensors (B, L) of any B and L."""
    shapes = tuple({0: Dim.DYNAMIC, 1: Dim.DYNAMIC} for _ in examples)
    with torch.no_grad():
        return torch.export.export(network.eval(), examples, dynamic_shapes=shapes)


def write_pt2(program: ExportedProgram, path: Path) -> None:
    """Write a traced network for torch, without the paths and lines of the code it came from."""
    for node in program.graph.nodes:
        for name in ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node", "torch_fn"):
            node.meta.pop(name, None)
    plain = path.with_suffix(".plain")
    torch.export.save(program, plain)
    # What torch writes is not compressed, and most of it is text.
    with ZipFile(plain) as given, ZipFile(path, "w", ZIP_DEFLATED) as taken:
        for part in given.infolist():
            taken.writestr(part.filename, given.read(part))
    plain.unlink()


def write_onnx(program: ExportedProgram, path: Path) -> None:
    """Write a traced network for ONNX's runtimes, without what only people read."""
    optimizer: Any = import_module("onnxscript.optimizer")
    ir: Any = import_module("onnx_ir")
    table: dict[Callable[..., Any], Callable[..., Any]]
    table = {torch.ops.aten.sort.stable: sorted_stably}
    found = torch.onnx.export(
        program, dynamo=True, custom_translation_table=table, optimize=False, verbose=False
    )
    assert found is not None
    # Small constants are computed: whole numbers are not multiplied by their scales.
    model = ir.to_proto(optimizer.optimize(found.model, input_size_limit=SMALL - 1))
    del model.graph.value_info[:]
    for part in (*model.graph.node, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]
    path.write_bytes(model.SerializeToString())


def sorted_stably(values: Any, stable: bool = True, dim: int = -1, descending: bool = False) -> Any:
    """Sort by ONNX's TopK, which gives equal values in their order."""
    onnx: Any = import_module("onnxscript")
    op = onnx.opset18
    numbers = op.Cast(values, to=onnx.INT64.dtype)
    count = op.Gather(op.Shape(values), op.Constant(value_ints=[dim]))
    found, places = op.TopK(numbers, count, axis=dim, largest=int(descending), sorted=1)
    return op.CastLike(found, values), places


def write_encoder(encoder: TextEncoder, folder: Path, int8: bool) -> dict[str, Any]:
    """Write a text encoder and its tokenizer, and give what the manifest says of them."""
    network: nn.Module = TextNetwork(encoder)
    if int8:
        network = Bytes(network)
    (folder / TEXT_ONNX).parent.mkdir()
    tokens = torch.ones(2, 3, dtype=torch.int64)
    # Two tensors: one that is given twice would be taken for one input.
    write_onnx(traced(network, tokens, tokens.clone()), folder / TEXT_ONNX)
    tokenizer = encoder._tokenizer
    tokenizer.save_pretrained((folder / TOKENIZER).parent)
    card = encoder.card
    said = {"prompt": card.prompt, "lower": card.lower, "max_length": card.max_length}
    return said | {"pad": tokenizer.pad_token_id}


def write_manifest(manifest: Mapping[str, Any], folder: Path) -> None:
    """Write the manifest."""
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


@torch.no_grad()
def parity(folder: Path, towers: Towers, histories: Tensor) -> dict[str, Any]:
    """Compare an export with the part of the run that it was made from.

    :returns: ``histories``; by engine the largest difference of a score from the run's, and from
        what the reduced network says before it is written; and ``top10``, how many of the run's ten
        best items are among the export's.
    """
    found: dict[str, Any] = {"histories": len(histories)}
    engines: tuple[Engine, ...] = ("onnx", "torch")
    for engine in engines:
        own = Exported(folder, engine)
        alone = torch.cat([own.queries(each[None]) for each in histories[:BATCH]])
        queries, difference, network, same = own.queries(histories), 0.0, 0.0, 0
        queries = torch.cat([queries, alone])
        for rows in torch.arange(len(queries)).split(BATCH):
            given, asked = histories[rows % len(histories)], queries[rows]
            scores = (asked @ own.table.T + own.bias)[:, 1:]
            expected = towers.scores(given)[:, 1:]
            reduced = (towers.network(given) @ own.table.T + own.bias)[:, 1:]
            difference = max(difference, float((scores - expected).abs().max()))
            network = max(network, float((scores - reduced).abs().max()))
            k = min(10, scores.shape[1])
            best, theirs = scores.topk(k).indices, expected.topk(k).indices
            same += int((best[:, :, None] == theirs[:, None]).sum())
        found[engine] = {"scores": difference, "network": network}
        found["top10"] = same / (len(queries) * k)
    return found


def parity_of_texts(folder: Path, encoder: TextEncoder, texts: pl.Series) -> dict[str, Any]:
    """Compare the exported text encoder with the run's: ``text`` is the largest difference."""
    some = ["", *texts.sample(min(TEXTS_TRIED, len(texts)), seed=0).to_list()]
    some.append(" ".join(some))
    vectors = Exported(folder).encode(some)
    return {"text": float((vectors - encoder.encode(some)).abs().max())}


def refuse(found: Mapping[str, Any], exact: bool) -> None:
    """See that an export says what its run says.

    :param exact: whether it has all dimensions in full; otherwise the written networks need only
        say what the reduced one says.
    :raises RunError: where it does not.
    """
    for engine, file in (("onnx", ONNX), ("torch", PT2)):
        difference = found[engine]["scores" if exact else "network"]
        if not difference <= TOLERANCE:
            raise RunError(
                f"{file} scores items other than the run does: by up to {difference:.2g}, where "
                f"{TOLERANCE:g} may be. Nothing was exported; serve the run itself."
            )
    if exact and not found.get("text", 0.0) <= TOLERANCE:
        raise RunError(
            f"The exported text encoder's vectors differ by up to {found['text']:.2g}, where "
            f"{TOLERANCE:g} may be. Nothing was exported; serve the run itself."
        )


@contextmanager
def exporting(what: str) -> Iterator[None]:
    """Export quietly.

    :raises RunError: where what is exported has a step that the formats do not know.
    """
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Exception as error:  # the exporters raise errors of many kinds
        lines = [line for line in str(error).splitlines() if line.strip()]
        raise RunError(
            f"The {what} cannot be exported ({type(error).__name__}: {lines[0] if lines else ''})."
            " Serve the run itself."
        ) from error
    finally:
        logging.disable(disabled)
