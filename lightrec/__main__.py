"""The command line: one table of commands, looked up before anything heavy is imported."""

import ctypes
import gc
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from importlib.metadata import version
from types import ModuleType
from typing import Any

from lightrec import plugins
from lightrec.blame import blame
from lightrec.cli.command import call, summary
from lightrec.errors import LightrecError, RecipeError
from lightrec.moved import hint
from lightrec.run import OPENED

# Before torch is imported. Threads that spin long while they wait for each other make training many
# times slower beside a busy process on few cores; to wake sleeping ones for each small sum costs a
# third of a run's time. GNU's threads spin for some 50 µs here, others do not.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "3000")
# Large tensors lie in huge pages: most of what a step of a large catalog takes is page faults.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

USAGE = """usage: lightrec COMMAND [ARGUMENTS]

Recommenders that understand language and think further than the next click.

commands:
{commands}
examples:
  lightrec run video
  lightrec run generic --log my.csv --items my_items.csv --goal next
  lightrec recommend runs/video --user 42 -k 10
  lightrec similar runs/video "Toy Story"
  lightrec fit -c video/ranker --trainer.max_epochs 5

`lightrec COMMAND --help` tells more.  `lightrec --version` gives the version.
"""
MALLOC = {-3: 32 << 20, -1: (1 << 31) - 1, -2: 64 << 20}
"""Settings of glibc's ``mallopt``: tensors up to 32 MiB come from the heap (M_MMAP_THRESHOLD),
which keeps what is freed (M_TRIM_THRESHOLD) and grows by 64 MiB (M_TOP_PAD)."""
SPARED = ("matplotlib", "scipy", "transformers")
"""Optional packages that TorchMetrics imports where they are there, and that no command needs: half
of what importing Lightning takes."""


def commands() -> dict[str, plugins.Part]:
    """The commands of lightrec and of plugins by name; an action's name is two words."""
    return plugins.installed().parts[plugins.COMMANDS]


def usage(group: str = "") -> str:
    """The text of ``lightrec --help``.

    :param group: list only the actions of this command, such as ``data``.
    """
    shown = {n: part for n, part in commands().items() if not group or n.split()[0] == group}
    width = max(map(len, shown))
    lines = []
    for name, part in shown.items():
        builtin = part.distribution.startswith("lightrec ")
        whose = "" if builtin else f" [{part.distribution}]"
        lines.append(f"  {name:<{width}}  {summary(part.path)}{whose}\n")
    if not group:
        return USAGE.format(commands="".join(lines))
    return (
        f"usage: lightrec {group} ACTION [ARGUMENTS]\n\nactions:\n{''.join(lines)}\n"
        f"`lightrec {group} ACTION --help` tells more, with examples.\n"
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    :param arguments: by default those of the process.
    :returns: the exit status: 0, or 2 where the input or the command cannot be used.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage(), end="")
        return 0
    if arguments[0] in ("-V", "--version"):
        print(f"lightrec {version('lightrec')}")
        return 0
    if SparseMetrics not in sys.meta_path:
        sys.meta_path.insert(0, SparseMetrics)
    keep_memory()
    # Imports make a million objects that stay; looking for garbage among them takes a second.
    gc.set_threshold(20_000)
    OPENED.clear()
    try:
        status = _do(arguments)
        sys.stdout.flush()
        return status
    except LightrecError as error:
        print(f"lightrec: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("lightrec: stopped. The same command continues where this one was.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        _print_no_more()
        return 0
    except (SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # polars' panics are no Exceptions
        from lightrec.cli.failures import in_a_sentence

        task = f"do its part in `lightrec {arguments[0]}`"
        sentence = in_a_sentence(error) or blame(error, task)
        if sentence is None:
            raise
        _print_no_more()
        print(f"lightrec: {sentence}", file=sys.stderr)
        return 2


def _print_no_more() -> None:
    """Drop what is left to print where nobody reads it or it cannot be written."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def keep_memory() -> None:
    """Let glibc keep freed memory: a tenth of a run went into asking the kernel for it again.

    Whoever sets one of glibc's MALLOC_ variables has chosen otherwise.
    """
    if sys.platform == "linux" and not any(name.startswith("MALLOC_") for name in os.environ):
        library = ctypes.CDLL(None)
        if hasattr(library, "mallopt"):  # other C libraries have none
            for parameter, value in MALLOC.items():
                library.mallopt(parameter, value)


def _do(arguments: list[str]) -> int:
    table = commands()
    for length in (2, 1):
        name = " ".join(arguments[:length])
        if name in table:
            return call(table[name].load(), name, arguments[length:])
    group, *rest = arguments
    if any(name.startswith(f"{group} ") for name in table):
        if rest and rest[0] not in ("-h", "--help"):
            mend = hint(f"{group} {rest[0]}") or f" `lightrec {group} --help` lists them."
            raise RecipeError(f"`lightrec {group}` has no action {rest[0]!r}.{mend}")
        print(usage(group), end="", file=sys.stdout if rest else sys.stderr)
        return 0 if rest else 2
    refused = plugins.installed().refused.get((plugins.COMMANDS, group))
    mend = hint(group) or " `lightrec --help` lists them."
    raise RecipeError(refused or f"there is no command {group!r}.{mend}")


class SparseMetrics:
    """A finder on ``sys.meta_path`` that finds nothing, but sees when TorchMetrics is imported.

    To TorchMetrics the packages in ``SPARED`` are then missing: its metrics cannot be plotted, and
    it has neither BERTScore nor metrics of sound. Lightning imports it for one base class, and only
    the command line's own process is changed.
    """

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Prepare the import of TorchMetrics; leave finding to others."""
        if name == "torchmetrics":
            from lightning_utilities.core import imports

            class Requirement(imports.RequirementCache):
                def _check_requirement(self: Any) -> None:
                    super()._check_requirement()
                    if str(self.requirement).partition(">")[0] in SPARED:
                        self.available = False

            def there(package: str, available: Any = imports.package_available) -> bool:
                return package not in SPARED and available(package)

            vars(imports).update(RequirementCache=Requirement, package_available=there)
        return None


if __name__ == "__main__":
    sys.exit(main())
