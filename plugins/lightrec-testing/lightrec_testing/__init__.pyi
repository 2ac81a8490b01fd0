"""The names of lightrec_testing, and where each stands."""

# ruff: noqa: I001 (a name a line)

from lightrec_testing.contract import (
    Check as Check,
    ContractError as ContractError,
    DoesNotApply as DoesNotApply,
    NotChecked as NotChecked,
    check_all as check_all,
    parametrize_checks as parametrize_checks,
)
from lightrec_testing.encoders import (
    EncoderChecks as EncoderChecks,
)
from lightrec_testing.learners import (
    LearnerChecks as LearnerChecks,
)
from lightrec_testing.learning import (
    ChoiceModelChecks as ChoiceModelChecks,
    ItemModelChecks as ItemModelChecks,
    LossChecks as LossChecks,
    RewardLearnerChecks as RewardLearnerChecks,
)
from lightrec_testing.modules import (
    RewardChecks as RewardChecks,
    TowerChecks as TowerChecks,
)
from lightrec_testing.plugins import (
    plugin_checks as plugin_checks,
)
from lightrec_testing.policies import (
    PolicyChecks as PolicyChecks,
    PolicyMakerChecks as PolicyMakerChecks,
    RankerChecks as RankerChecks,
)
from lightrec_testing.simulators import (
    SimulatorChecks as SimulatorChecks,
)
from lightrec_testing.stages import (
    CommandChecks as CommandChecks,
    StageChecks as StageChecks,
)
from lightrec_testing.tables import (
    DomainChecks as DomainChecks,
    EvaluatorChecks as EvaluatorChecks,
    ReaderChecks as ReaderChecks,
)
