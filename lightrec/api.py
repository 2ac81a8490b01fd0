"""All that a package beside lightrec imports, and what semantic versioning is promised for.

``docs/reference/api.md`` describes each name. Tests of a package import :mod:`lightrec_testing`,
too; all other modules may change in any release. Nothing heavy is imported until a name is used:
``api.pyi`` says where each stands, for type checkers and for this module.
"""

from lightrec.stub import modules_of

MODULES = modules_of(__file__)
"""The module that defines each name."""
__all__ = sorted(MODULES)


def __getattr__(name: str) -> object:
    if name not in MODULES:
        raise AttributeError(
            f"module 'lightrec.api' has no attribute {name!r}: docs/reference/api.md lists them"
        )
    # As `from … import` does, which finds modules, too.
    value = getattr(__import__(MODULES[name], fromlist=[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
