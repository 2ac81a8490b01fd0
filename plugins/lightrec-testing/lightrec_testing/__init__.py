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
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightrec_testing.contract import (
        Check,
        ContractError,
        DoesNotApply,
        NotChecked,
        check_all,
        parametrize_checks,
    )
    from lightrec_testing.encoders import EncoderChecks
    from lightrec_testing.learning import (
        ChoiceModelChecks,
        ItemModelChecks,
        LearnerChecks,
        LossChecks,
        RewardLearnerChecks,
    )
    from lightrec_testing.modules import RewardChecks, TowerChecks
    from lightrec_testing.plugins import plugin_checks
    from lightrec_testing.policies import PolicyChecks
    from lightrec_testing.simulators import SimulatorChecks
    from lightrec_testing.stages import CommandChecks, StageChecks
    from lightrec_testing.tables import DomainChecks, EvaluatorChecks, ReaderChecks

__all__ = [
    "Check",
    "ChoiceModelChecks",
    "CommandChecks",
    "ContractError",
    "DoesNotApply",
    "DomainChecks",
    "EncoderChecks",
    "EvaluatorChecks",
    "ItemModelChecks",
    "LearnerChecks",
    "LossChecks",
    "NotChecked",
    "PolicyChecks",
    "ReaderChecks",
    "RewardChecks",
    "RewardLearnerChecks",
    "SimulatorChecks",
    "StageChecks",
    "TowerChecks",
    "check_all",
    "parametrize_checks",
    "plugin_checks",
]


def __getattr__(name: str) -> object:
    # Every run of pytest imports this package for its fixtures and must not pay for torch, nor
    # the check of one part for what other kinds need: the light modules come first.
    light, heavy = ("contract", "plugins", "encoders", "tables"), ("modules", "policies")
    if name in __all__:
        for module in (*light, *heavy, "simulators", "learning", "stages"):
            names = vars(import_module(f"lightrec_testing.{module}"))
            if name in names:
                return names[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
