"""Learners of packages keep the contract of learners; lightrec's own are tried with its parts."""

from lightrec_testing import LearnerChecks, parametrize_checks

from tests.learners.training import OFFLINE, ON_POLICY, REPLAY

KINDS = {**REPLAY, **ON_POLICY, **{f"{name} from a log": kind for name, kind in OFFLINE.items()}}
CHECKS = [
    LearnerChecks(kind, name)
    for name, kind in KINDS.items()
    if not kind.__module__.startswith("lightrec.")
]


@parametrize_checks(*CHECKS)
def test_contract(check):
    check()
