"""The reader of object stores: files and folders by addresses such as ``s3://bucket/log/``."""

import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import fsspec

from lightrec.data.catalog import Catalog, Users
from lightrec.data.files import is_url, without_password
from lightrec.data.log import InteractionLog
from lightrec.data.readers.base import Reader, Tables, find_reader
from lightrec.errors import DataError


class ObjectReader(Reader):
    """A log, or an item or user table, in an object store or on the web, in any format on disk.

    It is fetched whole; whatever reads such a file or folder on disk then reads it. ``s3://`` needs
    the package s3fs, ``gs://`` gcsfs, ``az://`` adlfs.
    """

    name, of_urls = "objects", True

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether fsspec knows this kind of address."""
        return is_url(path) and str(path).partition(":")[0] in fsspec.available_protocols()

    def fetch(self, url: Path, file: Path) -> Path:
        """Fetch it, with its own ending in place of the file's.

        :returns: the file or the folder.
        :raises DataError: if it cannot be fetched.
        """
        address = re.sub(":/+", "://", str(url), count=1)  # a path loses a slash
        ending = "".join(Path(address.partition("?")[0]).suffixes)
        to = file.with_name(file.stem + ending)
        to.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=to.parent) as folder:
            part = Path(folder, to.name)
            self._get(address, part)
            if to.is_dir():  # of another day
                shutil.rmtree(to)
            part.replace(to)
        return to

    def _get(self, address: str, to: Path) -> None:
        try:
            store, inner = fsspec.url_to_fs(address)
            if store.isdir(inner):
                store.get(f"{inner.rstrip('/')}/", f"{to}/", recursive=True)
            else:
                store.get_file(inner, str(to))
        except ImportError as error:
            raise DataError(f"A package is missing ({error}).", without_password(address)) from None
        except Exception as error:  # each store has errors of its own
            said = without_password(str(error) or type(error).__name__, address).rstrip(".")
            words = f"It cannot be fetched ({said}). Look at the address and at your credentials."
            raise DataError(words, without_password(address)) from None

    @contextmanager
    def _fetched(self, path: Path) -> Iterator[tuple[Reader, Path]]:
        with TemporaryDirectory(prefix="lightrec-") as folder:
            held = self.fetch(path, Path(folder, "fetched"))
            reader = find_reader(held, times=self.times)
            reader.skip = self.skip
            yield reader, held

    def read_log(self, path: Path, columns: Mapping[str, str] | None = None) -> InteractionLog:
        """Read a log."""
        return self.read(path, columns).log

    def read_items(self, path: Path, columns: Mapping[str, str] | None = None) -> Catalog | None:
        """Read an item table."""
        with self._fetched(path) as (reader, held):
            return reader.read_items(held, columns)

    def read_users(self, path: Path, columns: Mapping[str, str] | None = None) -> Users | None:
        """Read a user table."""
        with self._fetched(path) as (reader, held):
            return reader.read_users(held, columns)

    def read(self, path: Path, columns: Mapping[str, str] | None = None) -> Tables:
        """Read a log with the tables that lie beside it in its folder."""
        with self._fetched(path) as (reader, held):
            return reader.read(held, columns)
