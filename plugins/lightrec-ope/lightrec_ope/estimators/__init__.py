"""Off-policy estimators: what a policy would earn, from a log that another policy made.

A log is put into a :class:`~lightrec_ope.estimators.bandit.BanditLog`,
:class:`~lightrec_ope.estimators.slates.SlateLog` or
:class:`~lightrec_ope.estimators.sequences.SequenceLog`; an estimator called on it gives an
:class:`~lightrec_ope.estimators.estimate.Estimate`: number, interval, and whether it can be
believed.
"""

from lightrec_ope.estimators.bandit import DM as DM
from lightrec_ope.estimators.bandit import DR as DR
from lightrec_ope.estimators.bandit import IPS as IPS
from lightrec_ope.estimators.bandit import MIPS as MIPS
from lightrec_ope.estimators.bandit import SNDR as SNDR
from lightrec_ope.estimators.bandit import SNIPS as SNIPS
from lightrec_ope.estimators.bandit import BanditLog as BanditLog
from lightrec_ope.estimators.bandit import judged as judged
from lightrec_ope.estimators.bandit import one_hot as one_hot
from lightrec_ope.estimators.estimate import Diagnosis as Diagnosis
from lightrec_ope.estimators.estimate import Estimate as Estimate
from lightrec_ope.estimators.estimate import Estimator as Estimator
from lightrec_ope.estimators.estimate import Parts as Parts
from lightrec_ope.estimators.estimate import Verdict as Verdict
from lightrec_ope.estimators.estimate import slope as slope
from lightrec_ope.estimators.models import estimated_propensities as estimated_propensities
from lightrec_ope.estimators.models import expected_rewards as expected_rewards
from lightrec_ope.estimators.sequences import Marginalized as Marginalized
from lightrec_ope.estimators.sequences import PerDecisionIPS as PerDecisionIPS
from lightrec_ope.estimators.sequences import SequenceLog as SequenceLog
from lightrec_ope.estimators.sequences import SequentialDR as SequentialDR
from lightrec_ope.estimators.sequences import fitted_values as fitted_values
from lightrec_ope.estimators.slates import CascadeDR as CascadeDR
from lightrec_ope.estimators.slates import CascadeIPS as CascadeIPS
from lightrec_ope.estimators.slates import IndependentIPS as IndependentIPS
from lightrec_ope.estimators.slates import PseudoInverse as PseudoInverse
from lightrec_ope.estimators.slates import SlateIPS as SlateIPS
from lightrec_ope.estimators.slates import SlateLog as SlateLog
from lightrec_ope.estimators.studies import Errors as Errors
from lightrec_ope.estimators.studies import Study as Study
from lightrec_ope.estimators.studies import fitted_world as fitted_world
from lightrec_ope.estimators.studies import study as study
