"""The command of this package: a domain's sample."""

import shutil
from pathlib import Path

from lightrec import plugins
from lightrec.errors import DataError, RecipeError


def fetch(name: str, *, to: Path | None = None) -> None:
    """Fetch a domain's sample into the cache.

    examples:
      lightrec data fetch movielens-100k
      lightrec data fetch movielens-100k --to samples

    :param name: such as movielens-100k.
    :param to: also copy it into this folder.
    """
    domains = [part.load() for part in plugins.installed().parts["domains"].values()]
    samples = {d.sample_name: d for d in domains if d.sample_name}
    if name not in samples:
        known = ", ".join(samples) or "none; install a plugin such as lightrec-video"
        raise RecipeError(f"There is no sample {name!r}. Known are: {known}.")
    folder = samples[name]().sample()
    if to is not None:
        try:
            shutil.copytree(folder, to, dirs_exist_ok=True)
        except OSError as error:
            raise DataError(f"The sample cannot be copied there ({error}).", to) from None
    print(to or folder)
