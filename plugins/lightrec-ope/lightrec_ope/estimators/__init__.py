"""Off-policy estimators: what a policy would earn, from a log that another policy made.

A log is put into a :class:`~lightrec_ope.estimators.bandit.BanditLog` or a
:class:`~lightrec_ope.estimators.sequences.SequenceLog`; an estimator called on it gives an
:class:`~lightrec_ope.estimators.estimate.Estimate`: number, interval, and whether it can be
believed.
"""

from lightrec_ope.estimators.bandit import (
    DM,
    DR,
    IPS,
    SNDR,
    SNIPS,
    BanditLog,
    bandit_events,
    judged,
)
from lightrec_ope.estimators.estimate import Diagnosis, Estimate, Estimator, Parts, Verdict, slope
from lightrec_ope.estimators.models import expected_rewards
from lightrec_ope.estimators.sequences import (
    PerDecisionIPS,
    SequenceLog,
    SequentialDR,
    fitted_values,
)
