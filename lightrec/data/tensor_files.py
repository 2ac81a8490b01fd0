"""Writing safetensors files that others may read, too: the library's own are the owner's alone."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors by name into one safetensors file, with the mode of any new file."""
    with usual_mode(path):
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)


@contextmanager
def usual_mode(path: Path) -> Iterator[None]:
    """Give a file that is written within the block the mode that the umask gives to new files."""
    path.unlink(missing_ok=True)
    path.touch()
    mode = path.stat().st_mode
    yield
    path.chmod(mode)
