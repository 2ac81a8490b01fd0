"""All that lightrec.api has. The comment above imports names the kind of part."""

# ruff: noqa: I001 (the kinds stand in the order of the page)

# hooks
from lightrec.hookspecs import gives as gives, hookimpl as hookimpl
from lightrec.keys import Column as Column, Key as Key, PADDING as PADDING
from lightrec.errors import (
    DataError as DataError,
    FetchError as FetchError,
    NotApplicable as NotApplicable,
    RecipeError as RecipeError,
)

# runs
from lightrec.data.store import EventStore as EventStore
from lightrec.run import Run as Run
from lightrec.recommend import Recommender as Recommender

# domains
from lightrec.data.audience import Audience as Audience, Past as Past
from lightrec.data.domain import Domain as Domain

# readers
from lightrec.data.casts import to_numbers as to_numbers
from lightrec.data.catalog import Catalog as Catalog, Users as Users
from lightrec.data.log import InteractionLog as InteractionLog
from lightrec.data.readers.base import Reader as Reader
from lightrec.data.readers.delimited import TextTable as TextTable
from lightrec.data.schema import Place as Place, Problems as Problems

# encoders
from lightrec.encoders.base import Encoder as Encoder, TrainableEncoder as TrainableEncoder

# towers
from lightrec.nn.towers import UserTower as UserTower

# losses
from lightrec.ranking.losses import RankingLoss as RankingLoss, Rows as Rows
from lightrec.ranking.ranker import Ranker as Ranker

# item_models
from lightrec.ranking.item_models.base import Evidence as Evidence, ItemModel as ItemModel
from lightrec.ranking.scorers import Details as Details

# users
from lightrec.users.choice_model import ChoiceModel as ChoiceModel
from lightrec.users.user_model import UserModel as UserModel

# reward_learners
from lightrec.users.irl import RewardLearner as RewardLearner

# rewards
from lightrec.rewards.accepted import (
    EngagementReward as EngagementReward,
    WeightedSum as WeightedSum,
)
from lightrec.rewards.base import (
    Reward as Reward,
    RewardContext as RewardContext,
    UserReward as UserReward,
)

# simulators
from lightrec.simulators import noise as noise
from lightrec.simulators.base import Response as Response, Simulator as Simulator
from lightrec.simulators.session_env import SessionEnv as SessionEnv
from lightrec.simulators.world import World as World

# policies
from lightrec.nn.session import State as State, with_progress as with_progress
from lightrec.policies.base import (
    LearnedPolicy as LearnedPolicy,
    Policy as Policy,
    RunParts as RunParts,
    ScoredPolicy as ScoredPolicy,
    TwoTowerPolicy as TwoTowerPolicy,
)
from lightrec.policies.base import (
    among_candidates as among_candidates,
    vectors_of as vectors_of,
    with_biases as with_biases,
    without_nothing as without_nothing,
)

# rankers
from lightrec.evaluation.rankers import RunRanker as RunRanker

# policy_makers
from lightrec.evaluation.named_policies import PolicyMaker as PolicyMaker

# learners
from lightrec.learners.algorithms import Learner as Learner
from lightrec.learners.losses import log_likelihood as log_likelihood
from lightrec.learners.transitions import FEATURES as FEATURES

# evaluators
from lightrec.evaluation.base import (
    Bars as Bars,
    Curve as Curve,
    Evaluator as Evaluator,
    Findings as Findings,
    Intervals as Intervals,
    Section as Section,
    Sides as Sides,
    Table as Table,
)
from lightrec.evaluation.base import interval as interval, spread as spread
from lightrec.evaluation.held_out import (
    HeldOutLog as HeldOutLog,
    mean_of_users as mean_of_users,
    scorers_of as scorers_of,
)
from lightrec.ranking.scorers import by_history as by_history

# stages
from lightrec.data.stage_data import LogData as LogData, StageData as StageData
from lightrec.nn.stage import AfterTraining as AfterTraining, StageModule as StageModule
from lightrec.stages.stage import Stage as Stage
