"""Off-policy estimators: what a policy would earn, from a log that another policy made.

A log is put into a :class:`BanditLog`, :class:`SlateLog` or :class:`SequenceLog`; an estimator
called on it gives an :class:`Estimate`: number, interval, and whether it can be believed.
"""

from lightrec.evaluation.estimators.bandit import (
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
from lightrec.evaluation.estimators.choose import slope
from lightrec.evaluation.estimators.estimate import Diagnosis, Estimate, Estimator, Parts, Verdict
from lightrec.evaluation.estimators.models import estimated_propensities, expected_rewards
from lightrec.evaluation.estimators.sequences import (
    Marginalized,
    PerDecisionIPS,
    SequenceLog,
    SequentialDM,
    SequentialDR,
    TrajectoryIPS,
    fitted_values,
)
from lightrec.evaluation.estimators.slates import (
    CascadeDR,
    CascadeIPS,
    IndependentIPS,
    PseudoInverse,
    SlateIPS,
    SlateLog,
)
from lightrec.evaluation.estimators.studies import Errors, Study, fitted_world, study

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
