"""The contract kit: checks that every part keeps what its base class promises, and tiny things.

A check is a plain function call; pytest is needed only for ``parametrize_checks`` and for the
fixtures in ``lightrec.testing.fixtures``. A plugin's own tests are::

    from lightrec.testing import encoder_checks, parametrize_checks, plugin_checks
    from my_package.encoder import MyEncoder

    @parametrize_checks(plugin_checks("my-package"), encoder_checks(MyEncoder))
    def test_contract(check):
        check()
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightrec.testing.contract import Check, ContractError, DoesNotApply, Outcome, outcomes
    from lightrec.testing.domains import check_domain, domain_checks
    from lightrec.testing.encoders import check_encoder, encoder_checks
    from lightrec.testing.evaluators import check_evaluator, evaluator_checks
    from lightrec.testing.parametrize import parametrize_checks
    from lightrec.testing.plugins import check_plugin, plugin_checks
    from lightrec.testing.policies import check_policy, policy_checks
    from lightrec.testing.readers import check_reader, reader_checks
    from lightrec.testing.rewards import check_reward, reward_checks
    from lightrec.testing.simulators import check_simulator, simulator_checks
    from lightrec.testing.towers import check_tower, tower_checks

__all__ = [
    "Check",
    "ContractError",
    "DoesNotApply",
    "Outcome",
    "check_domain",
    "check_encoder",
    "check_evaluator",
    "check_plugin",
    "check_policy",
    "check_reader",
    "check_reward",
    "check_simulator",
    "check_tower",
    "domain_checks",
    "encoder_checks",
    "evaluator_checks",
    "outcomes",
    "parametrize_checks",
    "plugin_checks",
    "policy_checks",
    "reader_checks",
    "reward_checks",
    "simulator_checks",
    "tower_checks",
]

# Every run of pytest imports this package for its fixtures and must not pay for torch.
_LAZY = {
    **dict.fromkeys(("Check", "ContractError", "DoesNotApply", "Outcome", "outcomes"), "contract"),
    **dict.fromkeys(("check_domain", "domain_checks"), "domains"),
    **dict.fromkeys(("check_encoder", "encoder_checks"), "encoders"),
    **dict.fromkeys(("check_evaluator", "evaluator_checks"), "evaluators"),
    **dict.fromkeys(("check_plugin", "plugin_checks"), "plugins"),
    **dict.fromkeys(("check_policy", "policy_checks"), "policies"),
    **dict.fromkeys(("check_reader", "reader_checks"), "readers"),
    **dict.fromkeys(("check_reward", "reward_checks"), "rewards"),
    **dict.fromkeys(("check_simulator", "simulator_checks"), "simulators"),
    **dict.fromkeys(("check_tower", "tower_checks"), "towers"),
    "parametrize_checks": "parametrize",
}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module 'lightrec.testing' has no attribute {name!r}")
    return getattr(import_module(f"lightrec.testing.{_LAZY[name]}"), name)
