"""Exports as :mod:`lightrec_export.export` writes them, read without lightning and transformers."""

import json
from collections.abc import Callable, Sequence
from functools import cached_property
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any, Final

import polars as pl
import torch
from safetensors.torch import load_file
from torch import Tensor

from lightrec.api import Column, ItemModel, Key
from lightrec.data.files import content_hash
from lightrec.data.types import Kind
from lightrec.errors import RunError
from lightrec.ranking.blend import Blend
from lightrec.trust import built

FORMAT: Final = 2
"""Format of the folder; raised where an earlier reader could not read it."""
MANIFEST: Final = "manifest.json"
ONNX, ITEMS = "query.onnx", "items.safetensors"
ROW: Final = "row"
"""Column of people with a history in the log: their numbers in its table of users."""
CATALOG, HISTORIES = "catalog.parquet", "histories.parquet"
TEXTS, TEXT_ONNX, TOKENIZER = "texts.safetensors", "text/model.onnx", "text/tokenizer.json"
BLEND: Final = "blend"
"""The folder of an exported blend's ranker and item models."""
POPULAR, ATTRIBUTES = "popular", "attributes."
"""Among the items' tensors of an exported blend: what ranks where nothing is known of somebody, and
how the names of what ranks by attributes begin."""
SCALE: Final = ".scale"
"""Ending of a tensor's name, of the factors of a table's rows where these are whole numbers."""
BATCH: Final = 64
"""Texts encoded at once, of like lengths."""


class Exported:
    """A query network or a blend, the items' rows, and what is known of the items.

    Of two towers, a history's score of an item is its query · the item's row, plus the item's bias;
    histories are of items alone, and kinds of feedback and times are not read. A :attr:`blend`
    reads all that the run's reads.

    :param folder: that `lightrec export` wrote.
    :raises RunError: where a file is missing or not the one that was exported, or a later release
        wrote the folder.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.manifest = read_manifest(self.folder)
        tensors = self._tensors(ITEMS)
        self.table = rows_of(tensors, "table")
        """(N + 1, D) float32 the items' rows, row 0 zero."""
        self.bias = tensors["bias"]
        """(N + 1,) float32."""
        self.events = tensors["events"]
        """(N + 1,) int64 training events of each item; nothing was learned of one without any."""
        self.catalog = pl.read_parquet(self._path(CATALOG))
        """N rows, of the items 1 to N: ``item``, ``title``, ``text`` and attributes."""
        self.kinds: dict[str, Kind] = self.manifest["kinds"]
        """The kinds of the attributes."""
        self.repeats: bool = self.manifest["repeats"]
        """Whether an item may come again."""
        self.note: str = self.manifest["note"]
        """The field's sentence about all recommendations; empty for none."""
        self.feedback_kinds: list[str] = self.manifest.get("feedback_kinds", [])
        """The log's kinds of feedback, in the order of their numbers."""
        self.worth: dict[str, float] = self.manifest.get("worth", {})
        self.goal: list[str] = self.manifest.get("goal", [])
        """The kinds of feedback of the goal; empty in exports of releases that did not write it."""
        self.history_length: int | None = self.manifest["history_length"]
        """Number of last items of a history that are read; None for all."""

    @property
    def about(self) -> dict[str, Any]:
        """The exported part and its run, the release, and how it was exported."""
        names = ("run", "what", "class", "lightrec", "size", "int8")
        return {name: self.manifest[name] for name in names}

    def queries(self, histories: Tensor) -> Tensor:
        """Compute queries.

        :param histories: (B, L) int64 items 1 to N, oldest first, padded with 0 on the left; any L.
        :returns: (B, D) float32.
        :raises ValueError: where histories hold anything else.
        """
        if histories.ndim != 2 or histories.dtype != torch.int64:
            raise ValueError(
                f"Expected histories (B, L) int64, not {tuple(histories.shape)} {histories.dtype}."
            )
        last = len(self.table) - 1
        if histories.numel() and not 0 <= histories.min() <= histories.max() <= last:
            raise ValueError(f"Histories must hold items 1 to {last}, and 0 for padding.")
        if not len(histories):
            return torch.zeros(0, self.table.shape[1])
        if not histories.shape[1]:
            histories = histories.new_zeros(len(histories), 1)
        return self._network(histories)

    def histories(self) -> dict[str, tuple[int, ...]]:
        """The items that users chose in the log, oldest first; none where they are not here.

        :returns: by the users' ids.
        """
        table = self._histories.select(Column.USER, "items")
        return {user: tuple(items) for user, items in table.iter_rows()}

    def people(self) -> dict[str, dict[str, Tensor]]:
        """The tensors that a blend reads of each person of the log, by their ids.

        :returns: as of :meth:`lightrec.data.people.People.person`; none where they are not here.
        """
        table = self._histories.rename({"items": Key.HISTORY})
        names = [name for name in table.columns if name != Column.USER]
        return {
            user: {
                Key.USER if name == ROW else name: torch.tensor(
                    [value], dtype=torch.float32 if name == Key.PROFILE else torch.int64
                )
                for name, value in zip(names, values, strict=True)
                if value is not None
            }
            for user, *values in table.select(Column.USER, *names).iter_rows()
        }

    @cached_property
    def blend(self) -> Blend | None:
        """The blend; None in an export of two towers."""
        if self.manifest["what"] != BLEND:
            return None
        for name in self.manifest["files"]:
            if name.startswith(f"{BLEND}/"):
                self._path(name)
        return Blend.load(self.folder / BLEND)

    @cached_property
    def popular(self) -> Tensor:
        """(N + 1,) weights that rank where nothing is known of somebody, of an exported blend."""
        return self._tensors(ITEMS)[POPULAR]

    @cached_property
    def attributes(self) -> ItemModel | None:
        """The model for somebody with attributes and no history, where a blend is exported."""
        if (said := self.manifest.get("attributes")) is None:
            return None
        model = built(said, ItemModel)
        for name, tensor in self._tensors(ITEMS).items():
            if name.startswith(ATTRIBUTES):
                model.register_buffer(name.removeprefix(ATTRIBUTES), tensor)
        return model

    @cached_property
    def text_vectors(self) -> Tensor:
        """(N + 1, V) float32 vectors of the items' texts; V is 0 where no text encoder is here."""
        if self.manifest["text"] is None:
            return torch.zeros(len(self.table), 0)
        return rows_of(self._tensors(TEXTS), "vectors")

    @torch.no_grad()
    def encode(self, texts: Sequence[str]) -> Tensor:
        """Encode texts as those of the items were.

        :returns: (len(texts), V) float32 of norm 1.
        :raises RunError: where the export has no text encoder.
        """
        if (said := self.manifest["text"]) is None:
            raise RunError(f"{self.folder} has no text encoder: its run's ranker reads no texts.")
        prompts = [said["prompt"] + (text.lower() if said["lower"] else text) for text in texts]
        vectors = torch.zeros(len(texts), self.text_vectors.shape[1])
        order = sorted(range(len(texts)), key=lambda row: len(prompts[row]))
        for at in range(0, len(order), BATCH):
            rows = order[at : at + BATCH]
            tokens = self._tokenizer.encode_batch([prompts[row] for row in rows])
            parts = [[token.ids for token in tokens], [token.attention_mask for token in tokens]]
            vectors[rows] = self._text_network(*map(torch.tensor, parts))
        return vectors

    @property
    def _histories(self) -> pl.DataFrame:
        if HISTORIES in self.manifest["files"]:
            return pl.read_parquet(self._path(HISTORIES))
        return pl.DataFrame(schema=[Column.USER, "items"])

    @cached_property
    def _network(self) -> Callable[..., Tensor]:
        return session(self._path(ONNX))

    @cached_property
    def _text_network(self) -> Callable[..., Tensor]:
        return session(self._path(TEXT_ONNX))

    @cached_property
    def _tokenizer(self) -> Any:
        said, tokenizers = self.manifest["text"], import_module("tokenizers")
        tokenizer = tokenizers.Tokenizer.from_file(str(self._path(TOKENIZER)))
        tokenizer.enable_truncation(said["max_length"])
        tokenizer.enable_padding(pad_id=said["pad"], pad_token=tokenizer.id_to_token(said["pad"]))
        return tokenizer

    def _tensors(self, name: str) -> dict[str, Tensor]:
        tensors: dict[str, Tensor] = load_file(self._path(name))
        return tensors

    def _path(self, name: str) -> Path:
        """The path of a file whose hash was compared."""
        if name not in self.manifest["files"]:
            raise RunError(f"{self.folder / MANIFEST} names no {name}: export the run again.")
        return self.folder / name


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read an export's manifest, and compare all files with it.

    :raises RunError: where a file is missing or another one, or a later release wrote it.
    """
    if not (path := folder / MANIFEST).is_file():
        raise RunError(f"There is no export in {folder}: {MANIFEST} is missing.")
    try:
        manifest = dict(json.loads(path.read_text(encoding="utf-8")))
        form, files = int(manifest["format"]), dict(manifest["files"])
    except (ValueError, KeyError, TypeError):
        raise RunError(f"{path} is damaged: it is no manifest. Export the run again.") from None
    if form > FORMAT:
        raise RunError(
            f"{folder} has format {form}, and this release reads up to {FORMAT}: update "
            "lightrec-serve, or export the run again."
        )
    if outside := [n for n in files if ".." in PurePosixPath(n).parts or n.startswith("/")]:
        raise RunError(f"{path} names {outside[0]}, which is no file of the export.")
    for name, expected in files.items():
        if not (folder / name).is_file():
            raise RunError(f"{folder / name} is missing: export the run again.")
        if (held := content_hash(folder / name)) != expected:
            raise RunError(
                f"{folder / name} is not the file that was exported: its SHA-256 begins with "
                f"{held[:12]}, and the manifest says {str(expected)[:12]}. Export the run again."
            )
    return manifest


def rows_of(tensors: dict[str, Tensor], name: str) -> Tensor:
    """A table in float32, whether it is written so or as whole numbers with scales."""
    rows, scale = tensors[name].float(), tensors.get(name + SCALE)
    return rows if scale is None else rows * scale[:, None]


def session(path: Path) -> Callable[..., Tensor]:
    """Load a network with onnxruntime; gives what computes its only output of its inputs.

    :raises RunError: where onnxruntime is missing.
    """
    try:
        onnxruntime = import_module("onnxruntime")
    except ImportError:
        raise RunError(
            f"{path} needs onnxruntime: `pip install lightrec-export[onnx]` brings it."
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    loaded = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [each.name for each in loaded.get_inputs()]

    def compute(*inputs: Tensor) -> Tensor:
        arrays = {name: each.numpy() for name, each in zip(names, inputs, strict=True)}
        return torch.from_numpy(loaded.run(None, arrays)[0])

    return compute
