"""lightrec's own parts, given through the same hooks that other packages use."""

from pathlib import Path

from lightrec.hookspecs import gives

LIGHTREC_API = 2

TABLE = """
encoders encoders.text TextEncoder
encoders encoders.words WordEncoder
simulators simulators.user_model UserModelSimulator
simulators simulators.worlds.far Far
rewards rewards.accepted EngagementReward LearnedReward SurplusReward ValueReward WeightedSum
policies policies.candidate CandidatePolicy
policies policies.baselines RandomPolicy PopularityPolicy ConstantListPolicy GreedyRankerPolicy
policies policies.epsilon_greedy EpsilonGreedy
evaluators evaluation.held_out HeldOutLog
evaluators evaluation.sessions SimulatedSessions
readers data.readers.canonical CanonicalReader
readers data.readers.table TableReader
components encoders.tuning TextModule
components encoders.tuning_data TextData
components ranking.module RankingModule
components ranking.sequence_data SequenceData
components users.module ChoiceModule
components users.choice_data ChoiceData
components learners.on_policy PolicyModule
components learners.offline OfflinePolicyModule
components learners.policy_data PolicyData
components nn.towers CausalTransformer
components ranking.losses SoftmaxLoss SampledSoftmaxLoss
components ranking.item_models.base Popularity RecentPopularity
components ranking.item_models.item_to_item ItemKNN TextNeighbours WordNeighbours EASE NextItemRidge
components ranking.item_models.item_to_item DirectionalCooccurrence
components ranking.item_models.text_ridge TextRidge
components ranking.item_models.affinity AttributeAffinity
components ranking.item_models.demographic Demographic
components ranking.item_models.als ALS
components ranking.item_models.series NextInSeries
components ranking.item_models.repeats RepeatConsumption
choice_models users.choice_model PooledChoice RecurrentChoice
reward_learners users.irl MaxEnt
learners learners.algorithms ppo=PPO slate-sarsa=SlateSarsa
offline_learners learners.algorithms bc=BehaviorCloning reward-weighted=RewardWeighted iql=IQL
rankers evaluation.rankers policy=ByPolicy blend=RunRanker mixture=ByMixture
rankers evaluation.rankers even-mixture=ByEvenMixture ranker=ByRanker
domains data.domain generic=Domain
commands cli.run run
commands cli.recommend recommend similar
commands cli.evaluate evaluate
commands cli.fit fit validate test=assess_test
commands cli.play simulate
commands cli.data data/check=check data/convert=convert
commands cli.plugins plugins/list=list_plugins plugins/show=show plugins/new=new
commands cli.recipes recipes/list=list_recipes recipes/show=show recipes/copy=copy
commands cli.doctor doctor
"""
"""A line for each module: its slot, its name within lightrec, and its classes or functions. Each
goes by its own name, or by the one before the equals sign, where a slash stands for a space.
`lightrec --help` lists the commands in this order."""
PARTS: dict[str, dict[str, str]] = {}
"""Import paths by slot and name."""
for _slot, _module, *_classes in map(str.split, TABLE.strip().splitlines()):
    for _name, _, _other in (each.partition("=") for each in _classes):
        _path = f"lightrec.{_module}:{_other or _name}"
        PARTS.setdefault(_slot, {})[_name.replace("/", " ")] = _path
globals().update({f"lightrec_{slot}": gives(parts) for slot, parts in PARTS.items()})
INSIDE: Path = Path(__file__).parent / "recipes"
"""The recipes lie inside the package in a wheel, and next to it in a checkout."""
lightrec_recipes = gives([INSIDE if INSIDE.is_dir() else Path(__file__).parents[1] / "recipes"])
