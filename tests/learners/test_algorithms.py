"""Learners of packages keep the contract of learners; lightrec's own are tried with its parts."""

from importlib import import_module
from importlib.util import find_spec

from lightrec_testing import LearnerChecks, parametrize_checks

from tests.learners.training import OFFLINE, ON_POLICY

REPLAY = import_module("lightrec_lab.algorithms").REPLAY if find_spec("lightrec_lab") else {}
"""Learners from a replay buffer, which lightrec alone has not."""
KINDS = {**REPLAY, **ON_POLICY, **{f"{name} from a log": kind for name, kind in OFFLINE.items()}}
CHECKS = [
    LearnerChecks(kind, name)
    for name, kind in KINDS.items()
    if not kind.__module__.startswith("lightrec.")
]
SLATES = [LearnerChecks(REPLAY["slate-q"], "slates of two", slate_size=2)] if REPLAY else []


@parametrize_checks(*CHECKS, *SLATES)
def test_contract(check):
    check()
