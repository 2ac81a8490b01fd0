"""What the kit gives to the constructors of parts that it knows by name only."""

import contextlib
import io
import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightrec.testing import tiny

if TYPE_CHECKING:
    from lightrec.plugins import Part

Supply = Callable[[], Any]


class Supplies:
    """Tiny things by the names of constructor arguments, each made when it is first needed.

    Files lie in a temporary folder, which goes when this object goes.
    """

    def of(self, slot: str) -> Mapping[str, Supply]:
        """Give what makes each argument that a slot's parts may ask for."""
        common: dict[str, Supply] = {
            "num_items": lambda: tiny.NUM_ITEMS,
            "vector_size": lambda: tiny.VECTOR_SIZE,
            "history_length": lambda: tiny.HISTORY_LENGTH,
        }
        own: dict[str, dict[str, Supply]] = {
            "simulators": {
                "batch_size": lambda: 4,
                "user_model": tiny.tiny_user_model,
                "starts": tiny.tiny_starts,
            },
            "rewards": {
                "reward": tiny.tiny_reward,
                "parts": lambda: [tiny.tiny_reward(), tiny.tiny_reward()],
            },
            "policies": {
                "ranker": tiny.tiny_ranker,
                "policy": tiny.tiny_policy,
            },
        }
        return common | own.get(slot, {})

    def further(self, part: "Part") -> tuple[object, ...]:
        """Give what a slot's checks take besides the part."""
        if part.slot == "rewards":
            return (tiny.NUM_ITEMS,)
        if part.slot == "evaluators":
            return (lambda: self.run,)
        if part.slot == "readers":
            return (lambda: self.path_for(part),)
        return ()

    def path_for(self, part: "Part") -> Path:
        """Find a file or folder that a reader takes for its own.

        :raises DoesNotApply: where the kit has none.
        """
        from lightrec.testing.contract import DoesNotApply

        reader = part.load()
        for path in self.data:
            if reader.recognises(path):
                return path
        raise DoesNotApply(
            f"The kit has no file in its format; run ReaderChecks({part.name}, path) in the "
            "package's own tests."
        )

    @cached_property
    def folder(self) -> Path:
        """The temporary folder."""
        folder = Path(tempfile.mkdtemp(prefix="lightrec-testing-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return folder

    @cached_property
    def run(self) -> Path:
        """A finished run over the tiny log."""
        path = self.folder / "run"
        path.mkdir()
        silence = io.StringIO()
        with contextlib.redirect_stdout(silence), contextlib.redirect_stderr(silence):
            return tiny.tiny_run(path)

    @cached_property
    def data(self) -> list[Path]:
        """The tiny log in each format that lightrec itself reads: CSV, canonical, RecBole."""
        from lightrec.data.readers.base import Tables
        from lightrec.data.readers.canonical import write_tables

        places = [self.folder / name for name in ("csv", "canonical", "recbole")]
        for place in places:
            place.mkdir()
        log, _ = tiny.write_log(places[0])
        write_tables(Tables(tiny.tiny_log(), tiny.tiny_catalog()), places[1])
        lines = log.read_text().replace(",", "\t").splitlines()
        lines[0] = "user_id:token\titem_id:token\ttimestamp:token"
        (places[2] / "tiny.inter").write_text("\n".join(lines) + "\n")
        return [log, *places[1:]]
