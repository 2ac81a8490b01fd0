"""Off-policy estimators: what a policy would earn, from a log that another policy made.

A log is put into a :class:`BanditLog`, :class:`SlateLog` or :class:`SequenceLog`; an estimator
called on it gives an :class:`Estimate`: number, interval, and whether it can be believed.
"""

from lightrec_ope.estimators.bandit import (
    DM,
    DR,
    IPS,
    MIPS,
    SNDR,
    SNIPS,
    SNMIPS,
    BanditLog,
    judged,
    one_hot,
)
from lightrec_ope.estimators.choose import slope
from lightrec_ope.estimators.estimate import Diagnosis, Estimate, Estimator, Parts, Verdict
from lightrec_ope.estimators.models import estimated_propensities, expected_rewards
from lightrec_ope.estimators.sequences import (
    Marginalized,
    PerDecisionIPS,
    SequenceLog,
    SequentialDM,
    SequentialDR,
    TrajectoryIPS,
    fitted_values,
)
from lightrec_ope.estimators.slates import (
    CascadeDR,
    CascadeIPS,
    IndependentIPS,
    PseudoInverse,
    SlateIPS,
    SlateLog,
)
from lightrec_ope.estimators.studies import Errors, Study, fitted_world, study

__all__ = [
    "DM",
    "DR",
    "IPS",
    "MIPS",
    "SNDR",
    "SNIPS",
    "SNMIPS",
    "BanditLog",
    "CascadeDR",
    "CascadeIPS",
    "Diagnosis",
    "Errors",
    "Estimate",
    "Estimator",
    "IndependentIPS",
    "Marginalized",
    "Parts",
    "PerDecisionIPS",
    "PseudoInverse",
    "SequenceLog",
    "SequentialDM",
    "SequentialDR",
    "SlateIPS",
    "SlateLog",
    "Study",
    "TrajectoryIPS",
    "Verdict",
    "estimated_propensities",
    "expected_rewards",
    "fitted_values",
    "fitted_world",
    "judged",
    "one_hot",
    "slope",
    "study",
]
