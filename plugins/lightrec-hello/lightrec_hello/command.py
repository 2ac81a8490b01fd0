"""A command."""

from pathlib import Path


def hello(run: Path, *, k: int = 10) -> None:
    """Print the items of a run that have most training events.

    example:
      lightrec hello runs/hello -k 3

    :param run: a run's folder.
    :param k: number of items.
    """
    from lightrec.api import Run  # which imports torch, as `lightrec --help` need not

    data = Run(run).data
    counts = data.popularity()[1:].tolist()
    named = zip(counts, data.catalog["item"].to_list(), strict=True)
    for count, item in sorted(named, reverse=True)[:k]:
        print(f"{count:>8.0f}  {item}")
