"""A command."""

from pathlib import Path


def count(run: Path, *, kind: str = "lamp") -> None:
    """Count the items of a kind.

    :param run: folder of a run.
    :param kind: of the items.
    """
    from lightrec.run import Run

    print(f"{(Run(run).data.catalog['kind'] == kind).sum()} items of the kind {kind}")
