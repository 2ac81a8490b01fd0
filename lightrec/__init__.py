"""Recommenders that understand language and think further than the next click.

Five lines are enough::

    import lightrec

    lightrec.fit("video", out="runs/video")
    recommender = lightrec.load("runs/video")
    print(recommender.recommend(history=["Toy Story", "Fargo"], k=10))
"""

import sys
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

from lightrec.moved import OldModules

if TYPE_CHECKING:
    from lightrec.recommend import Recommender, load
    from lightrec.run import Run
    from lightrec.stages.run import run as fit

__all__ = ["Recommender", "Run", "__version__", "fit", "load"]
__version__ = version("lightrec")
sys.meta_path.append(OldModules())

# Torch takes seconds to import; a command that does not need it must not pay for it.
_LAZY = {
    "fit": ("lightrec.stages.run", "run"),
    "load": ("lightrec.recommend", "load"),
    "Run": ("lightrec.run", "Run"),
    "Recommender": ("lightrec.recommend", "Recommender"),
}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module 'lightrec' has no attribute {name!r}")
    module, attribute = _LAZY[name]
    return getattr(import_module(module), attribute)
