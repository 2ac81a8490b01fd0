"""The two towers of a run's ranker or policy, as networks and tables that can be exported.

Here they are taken out of their parts, cut to fewer dimensions, put into whole numbers, and written
as files of ONNX; what an export is made of says :mod:`lightrec_export.export`.
"""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.func import functional_call
from torch.nn.functional import embedding, pad

from lightrec.api import PADDING, Ranker, Run
from lightrec.encoders.text import TextEncoder
from lightrec.errors import RecipeError, RunError
from lightrec.policies.base import TwoTowerPolicy, session_start

TILT: Final = 0.25
"""The power of an item's mean probability by which its row counts in :func:`principal`. On
MovieLens-100K's validation events half of the dimensions lose least NDCG@10 with it (of 0, 1/4,
1/2, 3/4 and 1)."""
SMALL: Final = 256
"""Parameters of fewer numbers stay as they are among whole numbers."""
BATCH: Final = 64


def part_of(run: Run, what: Literal["ranker", "policy"]) -> Ranker | TwoTowerPolicy:
    """The part of a run that scores by two towers.

    :raises RunError: where the run's part has none.
    """
    if what == "ranker":
        return run.served.ranker
    held = run.holding("policy")
    policy, name = held.policy, type(held.policy).__name__
    if held is not run:
        raise RunError(
            f"The policy is that of version {held.version}, whose items are other ones: export "
            f"{held.path}."
        )
    if not isinstance(policy, TwoTowerPolicy):
        raise RunError(
            f"The policy, a {name}, does not score by two towers: export the blend (--what blend), "
            "or serve the run itself."
        )
    return policy


class Towers:
    """The two towers of a part that scores by them."""

    scores: Callable[[Tensor], Tensor]
    """The part's own scores (B, N + 1) of histories (B, L)."""

    def __init__(self, part: Ranker | TwoTowerPolicy) -> None:
        self.scores = part.scores
        if isinstance(part, Ranker):
            self.table, self.bias = part.item_vectors().detach(), part.bias.detach()
        else:
            self.table = part.item_table().detach()
            self.bias = torch.zeros(len(self.table))
        self.name = type(part).__name__
        self.table = self.table.index_fill(0, torch.tensor([PADDING]), 0.0)
        self.network = Network(PartQuery(part)).eval().requires_grad_(False)

    @torch.no_grad()
    def cut(self, size: int, histories: Tensor) -> None:
        """Cut queries and rows to their principal directions; see :func:`principal`.

        :param size: number of dimensions that are left.
        :param histories: (Q, L) a sample.
        :raises RecipeError: where the rows have no more than these.
        """
        most = self.table.shape[1] - 1
        if not 1 <= size <= most:
            raise RecipeError(
                f"--size should be 1 to {most}, since the items' rows have {most + 1} dimensions, "
                f"and not {size}."
            )
        queries = torch.cat([self.network(some) for some in histories.split(BATCH)])
        self.network.turn, self.table = principal(queries, self.table, self.bias, size)


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
        """Number of last items that are read; None for all."""
        self.register_buffer("turn", None)

    def forward(self, history: Tensor) -> Tensor:
        """Compute queries."""
        if self.length is not None:
            # More padding changes nothing, and shapes that are known can be exported.
            more = history.new_zeros(history.shape[0], self.length)
            history = torch.cat([more, history], 1)[:, -self.length :]
        queries = self.inner(history)
        return queries if self.turn is None else queries @ self.turn


class PartQuery(nn.Module):
    """A ranker's user tower, or a policy's query of sessions that begin, with a table of items."""

    def __init__(self, part: Ranker | TwoTowerPolicy) -> None:
        super().__init__()
        self.part = without_items(part) if isinstance(part, Ranker) else deepcopy(part)
        for name, child in self.part.named_children():
            if isinstance(child, Ranker):
                setattr(self.part, name, without_items(child))
        for module in self.part.modules():
            for name, value in [*module.named_buffers(recurse=False)]:
                if value.dtype == torch.bool and not value.ndim:
                    # Which way the code goes by it is exported.
                    delattr(module, name)
                    setattr(module, name, bool(value))

    def forward(self, history: Tensor) -> Tensor:
        """Compute user vectors or queries."""
        if isinstance(self.part, Ranker):
            return self.part.user_vectors(history)
        return self.part.query(session_start(history))


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
        """Look up vectors of items, of any shape."""
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
        inputs, weights = (tokens,) if mask is None else (tokens, mask), {}
        for place, name in enumerate(self.names):
            rows, scale = getattr(self, f"rows_{place}"), getattr(self, f"scale_{place}")
            weights[name] = rows.float() * scale.view(-1, *[1] * (rows.ndim - 1))
        output: Tensor = functional_call(self.inner, weights, inputs)
        return output


class TextNetwork(nn.Module):
    """A text encoder, from tokens and their mask, (B, T) int64 each, to vectors (B, V)."""

    def __init__(self, encoder: TextEncoder) -> None:
        super().__init__()
        encoder.load_weights()
        self.encoder = deepcopy(encoder).cpu().eval().requires_grad_(False)
        transformer: Any = self.encoder.transformer.model
        transformer.set_attn_implementation("eager")  # the fused one is not exported for any length

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
    queries, rows = queries.double(), table[1:].double()
    likely = torch.zeros(len(rows), dtype=torch.float64)
    for some in queries.split(BATCH):
        likely += (some @ rows.T + bias[1:]).softmax(1).sum(0) / len(queries)
    weight = likely.clamp_min(likely.max() * 1e-6) ** TILT
    rows = rows - weight.square() @ rows / weight.square().sum()
    spread, axes = torch.linalg.eigh(queries.T @ queries / len(queries))
    root = spread.clamp_min(spread.max() * 1e-6).sqrt()
    there, back = axes * root @ axes.T, axes / root @ axes.T
    weighted = weight[:, None] * (rows @ there)
    turn = torch.linalg.eigh(weighted.T @ weighted)[1].flip(1)[:, :size]
    return (back @ turn).float(), pad((rows @ there @ turn).float(), (0, 0, 1, 0))


def traced(network: nn.Module, *examples: Tensor) -> ExportedProgram:
    """Trace a network of tensors (B, L) of any B and L."""
    shapes = tuple({0: Dim.DYNAMIC, 1: Dim.DYNAMIC} for _ in examples)
    with torch.no_grad():
        return torch.export.export(network.eval(), examples, dynamic_shapes=shapes)


def write_onnx(program: ExportedProgram, path: Path) -> None:
    """Write a traced network for ONNX's runtimes, without what only people read."""
    optimizer: Any = import_module("onnxscript.optimizer")
    ir: Any = import_module("onnx_ir")
    made = torch.onnx.export(program, dynamo=True, optimize=False, verbose=False)
    assert made is not None
    # Small constants are computed: whole numbers are not multiplied by their scales.
    model = ir.to_proto(optimizer.optimize(made.model, input_size_limit=SMALL - 1))
    del model.graph.value_info[:]
    for part in (*model.graph.node, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]
    path.write_bytes(model.SerializeToString())


@contextmanager
def exporting(what: str) -> Iterator[None]:
    """Export quietly.

    :raises RunError: where what is exported has a step that the format does not know.
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
