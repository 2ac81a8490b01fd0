"""All that a package beside lightrec imports, and what semantic versioning is promised for.

``docs/reference/api.md`` describes each name. Tests of a package import :mod:`lightrec_testing`,
too; all other modules may change in any release. Nothing heavy is imported until a name is used.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightrec.data.audience import Audience as Audience
    from lightrec.data.audience import Past as Past
    from lightrec.data.casts import to_numbers as to_numbers
    from lightrec.data.catalog import Catalog as Catalog
    from lightrec.data.catalog import Users as Users
    from lightrec.data.domain import Domain as Domain
    from lightrec.data.log import InteractionLog as InteractionLog
    from lightrec.data.readers.base import Reader as Reader
    from lightrec.data.readers.delimited import TextTable as TextTable
    from lightrec.data.schema import Place as Place
    from lightrec.data.schema import Problems as Problems
    from lightrec.data.stage_data import LogData as LogData
    from lightrec.data.stage_data import StageData as StageData
    from lightrec.data.store import EventStore as EventStore
    from lightrec.encoders.base import Encoder as Encoder
    from lightrec.encoders.base import TrainableEncoder as TrainableEncoder
    from lightrec.errors import DataError as DataError
    from lightrec.errors import FetchError as FetchError
    from lightrec.errors import NotApplicable as NotApplicable
    from lightrec.errors import RecipeError as RecipeError
    from lightrec.evaluation.base import Bars as Bars
    from lightrec.evaluation.base import Curve as Curve
    from lightrec.evaluation.base import Evaluator as Evaluator
    from lightrec.evaluation.base import Findings as Findings
    from lightrec.evaluation.base import Intervals as Intervals
    from lightrec.evaluation.base import Section as Section
    from lightrec.evaluation.base import Sides as Sides
    from lightrec.evaluation.base import Table as Table
    from lightrec.evaluation.base import interval as interval
    from lightrec.evaluation.base import spread as spread
    from lightrec.evaluation.held_out import HeldOutLog as HeldOutLog
    from lightrec.evaluation.held_out import mean_of_users as mean_of_users
    from lightrec.evaluation.held_out import scorers_of as scorers_of
    from lightrec.evaluation.named_policies import PolicyMaker as PolicyMaker
    from lightrec.evaluation.rankers import RunRanker as RunRanker
    from lightrec.hookspecs import gives as gives
    from lightrec.hookspecs import hookimpl as hookimpl
    from lightrec.keys import PADDING as PADDING
    from lightrec.keys import Column as Column
    from lightrec.keys import Key as Key
    from lightrec.learners.algorithms import Learner as Learner
    from lightrec.learners.losses import log_likelihood as log_likelihood
    from lightrec.learners.transitions import FEATURES as FEATURES
    from lightrec.nn.item_tower import ItemReader as ItemReader
    from lightrec.nn.session import State as State
    from lightrec.nn.session import with_progress as with_progress
    from lightrec.nn.stage import AfterTraining as AfterTraining
    from lightrec.nn.stage import StageModule as StageModule
    from lightrec.nn.towers import UserTower as UserTower
    from lightrec.policies.base import LearnedPolicy as LearnedPolicy
    from lightrec.policies.base import Policy as Policy
    from lightrec.policies.base import RunParts as RunParts
    from lightrec.policies.base import ScoredPolicy as ScoredPolicy
    from lightrec.policies.base import TwoTowerPolicy as TwoTowerPolicy
    from lightrec.policies.base import among_candidates as among_candidates
    from lightrec.policies.base import vectors_of as vectors_of
    from lightrec.policies.base import with_biases as with_biases
    from lightrec.policies.base import without_nothing as without_nothing
    from lightrec.ranking.item_models.base import Evidence as Evidence
    from lightrec.ranking.item_models.base import ItemModel as ItemModel
    from lightrec.ranking.losses import RankingLoss as RankingLoss
    from lightrec.ranking.losses import Rows as Rows
    from lightrec.ranking.ranker import Ranker as Ranker
    from lightrec.ranking.scorers import Details as Details
    from lightrec.ranking.scorers import by_history as by_history
    from lightrec.recommend import Recommender as Recommender
    from lightrec.rewards.accepted import EngagementReward as EngagementReward
    from lightrec.rewards.accepted import WeightedSum as WeightedSum
    from lightrec.rewards.base import Reward as Reward
    from lightrec.rewards.base import RewardContext as RewardContext
    from lightrec.rewards.base import UserReward as UserReward
    from lightrec.run import Run as Run
    from lightrec.simulators import noise as noise
    from lightrec.simulators.base import Response as Response
    from lightrec.simulators.base import Simulator as Simulator
    from lightrec.simulators.session_env import SessionEnv as SessionEnv
    from lightrec.simulators.world import World as World
    from lightrec.stages.stage import Stage as Stage
    from lightrec.users.choice_model import ChoiceModel as ChoiceModel
    from lightrec.users.irl import RewardLearner as RewardLearner
    from lightrec.users.user_model import UserModel as UserModel

TABLE = """
hooks hookspecs gives hookimpl
hooks keys Column Key PADDING
hooks errors DataError FetchError NotApplicable RecipeError
runs data.store EventStore
runs run Run
runs recommend Recommender
domains data.audience Audience Past
domains data.domain Domain
readers data.casts to_numbers
readers data.catalog Catalog Users
readers data.log InteractionLog
readers data.readers.base Reader
readers data.readers.delimited TextTable
readers data.schema Place Problems
encoders encoders.base Encoder TrainableEncoder
towers nn.item_tower ItemReader
towers nn.towers UserTower
losses ranking.losses RankingLoss Rows
losses ranking.ranker Ranker
item_models ranking.item_models.base Evidence ItemModel
item_models ranking.scorers Details
users users.choice_model ChoiceModel
users users.user_model UserModel
reward_learners users.irl RewardLearner
rewards rewards.accepted EngagementReward WeightedSum
rewards rewards.base Reward RewardContext UserReward
simulators simulators noise
simulators simulators.base Response Simulator
simulators simulators.session_env SessionEnv
simulators simulators.world World
policies nn.session State with_progress
policies policies.base LearnedPolicy Policy RunParts ScoredPolicy TwoTowerPolicy
policies policies.base among_candidates vectors_of with_biases without_nothing
rankers evaluation.rankers RunRanker
policy_makers evaluation.named_policies PolicyMaker
learners learners.algorithms Learner
learners learners.losses log_likelihood
learners learners.transitions FEATURES
evaluators evaluation.base Bars Curve Evaluator Findings Intervals Section Sides Table
evaluators evaluation.base interval spread
evaluators evaluation.held_out HeldOutLog mean_of_users scorers_of
evaluators ranking.scorers by_history
stages data.stage_data LogData StageData
stages nn.stage AfterTraining StageModule
stages stages.stage Stage
"""
"""A line for each module: the kind of part, the module within lightrec, and its names."""
MODULES = {
    name: f"lightrec.{module}"
    for _, module, *names in map(str.split, TABLE.strip().splitlines())
    for name in names
}
"""The module that defines each name."""
__all__ = sorted(MODULES)


def __getattr__(name: str) -> object:
    if name not in MODULES:
        raise AttributeError(
            f"module 'lightrec.api' has no attribute {name!r}: docs/reference/api.md lists them"
        )
    # As `from … import` does, which finds modules, too.
    value = getattr(__import__(MODULES[name], fromlist=[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
