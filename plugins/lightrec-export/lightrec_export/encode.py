"""`lightrec encode`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightrec.errors import RecipeError

if TYPE_CHECKING:
    from lightrec.encoders.base import Encoder

ROWS = 1 << 16
"""Vectors that are written at once."""


def encode(
    items: Path,
    *,
    out: Path,
    encoder: str | None = None,
    domain: str = "generic",
    columns: Mapping[str, str] | None = None,
) -> None:
    """Put items into vectors, for a search index or a model of your own.

    examples:
      lightrec encode my_items.csv --out vectors.parquet
      lightrec encode my_items.csv --encoder BAAI/bge-m3 --out vectors.parquet
      lightrec encode my_items.csv --encoder WordEncoder --out vectors.safetensors
      lightrec encode runs/video --out vectors.parquet

    A .parquet file has the columns item, title and vector. A .safetensors file has the tensor
    `vectors`, a row an item; its metadata has their ids, under `items`, as a JSON list. An item
    without words has a vector of zeros.

    :param items: an item table, or a run folder such as runs/video, for the items of its log.
    :param out: a .parquet or .safetensors file.
    :param encoder: an installed encoder, by its name or as recipes have it, with settings; or the
        name of a model on the Hugging Face hub, or its folder. By default TextEncoder; of a run
        whose ranker reads texts, the vectors that it reads.
    :param domain: whose words describe the items of a table.
    :param columns: the table's columns, by name or position: {item: id, title: 2}.
    """
    if out.suffix not in (".parquet", ".safetensors"):
        raise RecipeError(f"--out must end in .parquet or .safetensors, not {out.name}.")
    import pyarrow as pa
    from pyarrow.parquet import write_table

    from lightrec import plugins
    from lightrec.data.domain import with_texts
    from lightrec.data.files import new_file, save_tensors
    from lightrec.data.readers.base import read_table
    from lightrec.encoders.base import item_vectors
    from lightrec.keys import Column
    from lightrec.run import Run

    run = Run(items) if (items / "data").is_dir() else None
    if encoder is None and run and not run.has("ranker"):
        raise RecipeError(
            f"{items} has no ranker yet whose vectors could be written. Finish the run, or name an "
            "encoder with --encoder."
        )
    if run is None:
        rows = read_table(items, "item", columns).rows
        catalog = with_texts(plugins.installed().get("domains", domain).made(), rows)
    elif columns:
        raise RecipeError("--columns goes with an item table, and a run has read its own.")
    else:
        catalog = run.data.catalog
    if encoder is None and run and run.ranker.items.uses_text:
        vectors = run.ranker.items.vectors[1:].cpu()
    else:
        vectors = item_vectors(_named(encoder or "TextEncoder"), catalog)[1:]
    catalog = catalog.select(Column.ITEM, Column.TITLE)
    if out.suffix == ".parquet":
        numbers = pa.array(vectors.numpy().reshape(-1))
        column = pa.FixedSizeListArray.from_arrays(numbers, vectors.shape[1])
        with new_file(out) as part:
            write_table(catalog.to_arrow().append_column("vector", column), part, ROWS)
    else:
        ids = json.dumps(catalog[Column.ITEM].to_list(), ensure_ascii=False)
        save_tensors({"vectors": vectors}, out, {"items": ids})
    wordless = sum(int((~part.any(dim=1)).sum()) for part in vectors.split(ROWS))
    left = f", {wordless:,} of them without words" if wordless else ""
    print(f"{out}: {len(vectors):,} items{left}, {vectors.shape[1]} numbers each")


def _named(encoder: str) -> "Encoder":
    """Make the encoder that the option names."""
    from lightrec import plugins
    from lightrec.encoders.text import TextEncoder
    from lightrec.settings import make_of, setting

    installed = plugins.installed()
    wanted: dict[str, Any] = {"class_path": encoder}
    if encoder.startswith("{"):
        wanted = setting(f"encoder={encoder}", "--encoder")[1]
    elif encoder not in installed.parts["encoders"]:
        return TextEncoder(encoder)
    kind = installed.get("encoders", str(wanted.get("class_path"))).load()
    made: Encoder = make_of(kind, wanted.get("init_args"))
    return made
