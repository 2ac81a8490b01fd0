"""Lists for people of any number, from a Parquet file or folder to a Parquet file or folder."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from itertools import chain
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from filelock import FileLock, Timeout
from lightrec_rules.rules import RuleBook

from lightrec.api import PADDING, Column, DataError, RecipeError
from lightrec.data.files import content_hash, new_file
from lightrec.data.names import Names
from lightrec.data.store import padded

HISTORY: Final = "history"
MARK: Final = b"lightrec.made_from"
"""Note of a file of lists: the export, its rules, k and the people."""
ROWS: Final = 8_192
"""People who are read at once."""
TOGETHER: Final = 512
"""People whose lists are made at once,"""
CELLS: Final = 1 << 24
"""and their scores at most."""


class Lists:
    """Makes lists for tables of people.

    :param path: an export.
    :param k: items of a list at most.
    """

    def __init__(self, path: str, k: int) -> None:
        from lightrec_export.exported import Exported

        self.exported: Exported = Exported(Path(path))
        self.k = k
        book = RuleBook(Path(path), Names(self.exported.catalog).number)
        self.rules = book.of(self.exported.catalog, self.exported.kinds)
        self.ids = self.exported.catalog[Column.ITEM].to_arrow().cast(pa.string())

    def __call__(self, people: pa.Table) -> pa.Table:
        """Make lists.

        :param people: ``user``, and ``history``: lists of item ids, oldest first. Ids that are not
            in the export are passed over.
        :returns: ``user``, ``items`` and ``scores``, lists of k at most, best first.
        """
        table = self._histories(people)
        together = max(1, min(TOGETHER, CELLS // len(self.ids)))
        parts = zip(*map(self._search, table.split(together)), strict=True)
        items, scores = (torch.cat(part).numpy() for part in parts)
        there = items > 0
        ends = np.concatenate([[0], there.sum(1).cumsum()]).astype(np.int32)
        names = self.ids.take(pa.array(items[there] - 1))
        return pa.table(
            {
                "user": people["user"],
                "items": pa.ListArray.from_arrays(ends, names),
                "scores": pa.ListArray.from_arrays(ends, pa.array(scores[there])),
            }
        )

    @torch.inference_mode()
    def _search(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        rules, held = self.rules, self.exported
        if held.blend is None:
            length = held.history_length
            queries = held.queries(rows if length is None else rows[:, -length:])
            scores = queries @ held.table.T + held.bias
        else:
            # Boosts are added to logarithms.
            popular = held.popular if rules is None else held.popular.clamp_min(0).log1p()
            scores = held.blend.scores(rows).where(rows.any(1, keepdim=True), popular)
        if rules is not None:
            scores = (scores + rules.boost).masked_fill(~rules.there, -torch.inf)
        scores = scores.scatter(1, rows * (not held.repeats), -torch.inf)
        scores[:, PADDING] = -torch.inf
        if rules is not None:
            items, _ = rules.fill(scores, self.k)
            return items, scores.gather(1, items)
        best = scores.topk(min(self.k, scores.shape[1] - 1))
        return best.indices * (best.values > -torch.inf), best.values

    def _histories(self, people: pa.Table) -> torch.Tensor:
        """Histories as item numbers, (B, L) int64, padded on the left."""
        column = people[HISTORY].combine_chunks()
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        lengths = np.nan_to_num(column.value_lengths().to_numpy(zero_copy_only=False)).astype(int)
        values = column.flatten().cast(pa.string())
        numbers = pa.compute.index_in(values, value_set=self.ids).fill_null(-1).to_numpy() + 1
        ends = lengths.cumsum()
        return torch.from_numpy(padded(numbers, ends - lengths, ends))


def batch(export: Path, people: Path, *, out: Path, k: int = 10, threads: int = 1) -> None:
    """Make lists for people of any number by an export, streamed from Parquet to Parquet.

    examples:
      lightrec export runs/video exported
      lightrec batch exported people.parquet --out lists.parquet
      lightrec batch exported people --out lists

    The people have the columns user and history, a list of item ids, oldest first. The file of
    lists has a row for each of them: user, items and scores. In a folder, each file of people has
    its file of lists. Those that are there already stay, unless they are of other people, another
    export or another K. So the same command continues where it stopped, and several of them share
    the work, on several machines too.

    :param export: a folder that `lightrec export` wrote.
    :param people: a Parquet file or a folder of such files.
    :param out: a .parquet file, or a folder.
    :param k: items of a list at most.
    :param threads: for the arithmetic.
    """
    if k < 1:
        raise RecipeError(f"-k must be at least 1, not {k}.")
    if not people.exists():
        raise DataError("There is no such file or folder.", people)
    torch.set_num_threads(threads)
    lists = Lists(str(export), k)
    files = sorted(people.glob("**/*.parquet")) if people.is_dir() else [people]
    if out.suffix == ".parquet":
        rows = write(lists, chain.from_iterable(map(tables, files)), out)
        print(f"{out}: lists for {rows:,} people")
        return
    from lightrec_export.exported import MANIFEST

    mark = f"{content_hash(export / MANIFEST)} {lists.rules and lists.rules.mark} {k}"
    done = 0
    for file in files:
        to = out / (file.relative_to(people) if people.is_dir() else file.name)
        to.parent.mkdir(parents=True, exist_ok=True)
        # Whoever is killed has its lock taken by the system, and the file is anybody's again.
        with suppress(Timeout), FileLock(to.with_name(f".{to.name}.lock"), blocking=False):
            own = f"{mark} {content_hash(file)}"
            if not (to.is_file() and pq.read_metadata(to).metadata.get(MARK) == own.encode()):
                parts = tables(file)
                for first in parts:  # an engine may leave files without rows
                    done += write(lists, chain([first], parts), to, {MARK: own})
    print(f"{out}: lists for {done:,} people, beside those that were there")


def write(
    lists: Lists, people: Iterable[pa.Table], out: Path, notes: Mapping[bytes, str] | None = None
) -> int:
    """Write one file of lists, and give their number.

    :param notes: for the file's metadata.
    :raises DataError: where there is nobody.
    """
    from tqdm.auto import tqdm

    rows, writer = 0, None
    with new_file(out) as part, ExitStack() as stack:
        for table in tqdm(people, unit="batch"):
            made = lists(table).replace_schema_metadata(notes)
            writer = writer or stack.enter_context(pq.ParquetWriter(part, made.schema))
            writer.write_table(made)
            rows += made.num_rows
        if writer is None:
            raise DataError("There are no people in it.")
    return rows


def tables(file: Path) -> Iterator[pa.Table]:
    """Read people, some at a time.

    :raises DataError: where a column is missing, or histories are no lists.
    """
    try:
        held = pq.ParquetFile(file)
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"This is no Parquet file: {error}", file) from None
    schema = held.schema_arrow
    if missing := [name for name in ("user", HISTORY) if name not in schema.names]:
        raise DataError(
            f"There is no column {missing[0]!r}; expected are user and history, and there are "
            f"{', '.join(schema.names)}.",
            file,
        )
    kind = schema.field(HISTORY).type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        raise DataError(f"The column history holds {kind}; expected are lists of ids.", file)
    for part in held.iter_batches(ROWS, columns=["user", HISTORY]):
        yield pa.Table.from_batches([part])
