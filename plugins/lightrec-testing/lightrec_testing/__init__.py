"""The contract kit: checks that every part keeps what its base class promises, and tiny things.

``EncoderChecks(MyEncoder)``, and likewise for the other kinds, lists checks; ``check_all`` runs
them all, ``parametrize_checks`` makes each a test of pytest's, which is needed for nothing else but
the fixtures in ``lightrec_testing.fixtures``. A plugin's own tests are::

    from lightrec_testing import EncoderChecks, parametrize_checks, plugin_checks
    from my_package.encoder import MyEncoder

    @parametrize_checks(plugin_checks("my-package"), EncoderChecks(MyEncoder))
    def test_contract(check):
        check()
"""

from importlib import import_module

from lightrec.stub import modules_of

# Every run of pytest imports this package for its fixtures and must not pay for torch, nor the
# check of one part for what other kinds need: the stub says where each name stands.
_MODULES = modules_of(__file__)
__all__ = sorted(_MODULES)


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
