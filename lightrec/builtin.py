"""lightrec's own parts, given through the same hooks that other packages use."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from lightrec.hookspecs import gives

LIGHTREC_API = 1

PARTS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "encoders": {
        "encoders.text": ["TextEncoder"],
        "encoders.words": ["WordEncoder"],
    },
    "simulators": {
        "simulators.user_model": ["UserModelSimulator"],
        "simulators.worlds.far": ["Far"],
    },
    "rewards": {
        "rewards.accepted": [
            *("EngagementReward", "LearnedReward", "SurplusReward", "ValueReward", "WeightedSum"),
        ],
    },
    "policies": {
        "policies.candidate": ["CandidatePolicy"],
        "policies.baselines": [
            *("RandomPolicy", "PopularityPolicy", "ConstantListPolicy", "GreedyRankerPolicy"),
        ],
        "policies.epsilon_greedy": ["EpsilonGreedy"],
    },
    "evaluators": {
        "evaluation.held_out": ["HeldOutLog"],
        "evaluation.sessions": ["SimulatedSessions"],
    },
    "readers": {
        "data.readers.canonical": ["CanonicalReader"],
        "data.readers.table": ["TableReader"],
    },
    "components": {
        "encoders.tuning": ["TextModule"],
        "encoders.tuning_data": ["TextData"],
        "ranking.module": ["RankingModule"],
        "ranking.sequence_data": ["SequenceData"],
        "users.module": ["ChoiceModule"],
        "users.choice_data": ["ChoiceData"],
        "learners.on_policy": ["PolicyModule"],
        "learners.offline": ["OfflinePolicyModule"],
        "learners.policy_data": ["PolicyData"],
        "nn.towers": ["CausalTransformer"],
        "ranking.losses": ["SoftmaxLoss", "SampledSoftmaxLoss"],
        "ranking.item_models.base": ["Popularity", "RecentPopularity"],
        "ranking.item_models.item_to_item": [
            *(
                "ItemKNN",
                "TextNeighbours",
                "WordNeighbours",
                "EASE",
                "NextItemRidge",
                "DirectionalCooccurrence",
            ),
        ],
        "ranking.item_models.affinity": ["AttributeAffinity"],
        "ranking.item_models.demographic": ["Demographic"],
        "ranking.item_models.als": ["ALS"],
        "ranking.item_models.series": ["NextInSeries"],
        "ranking.item_models.repeats": ["RepeatConsumption"],
        "users.choice_model": ["PooledChoice", "RecurrentChoice"],
        "users.irl": ["MaxEnt"],
    },
}
"""Classes by slot and module; each goes by its own name."""


globals().update(
    {
        f"lightrec_{slot}": gives(
            {name: f"lightrec.{where}:{name}" for where, names in own.items() for name in names}
        )
        for slot, own in PARTS.items()
    }
)
lightrec_learners = gives(
    {
        "ppo": "lightrec.learners.algorithms:PPO",
        "slate-sarsa": "lightrec.learners.algorithms:SlateSarsa",
    }
)
lightrec_offline_learners = gives(
    {
        name: f"lightrec.learners.algorithms:{kind}"
        for name, kind in {
            "bc": "BehaviorCloning",
            "reward-weighted": "RewardWeighted",
            "iql": "IQL",
            "snqn": "SNQN",
            "sa2c": "SA2C",
        }.items()
    }
)
lightrec_rankers = gives(
    {
        name: f"lightrec.evaluation.rankers:{kind}"
        for name, kind in {
            "policy": "ByPolicy",
            "blend": "RunRanker",
            "mixture": "ByMixture",
            "even-mixture": "ByEvenMixture",
            "ranker": "ByRanker",
        }.items()
    }
)
lightrec_domains = gives({"generic": "lightrec.data.domain:Domain"})
lightrec_commands = gives(
    {
        "run": "lightrec.cli.run:run",
        "recommend": "lightrec.cli.recommend:recommend",
        "similar": "lightrec.cli.recommend:similar",
        "evaluate": "lightrec.cli.evaluate:evaluate",
        "fit": "lightrec.cli.fit:fit",
        "validate": "lightrec.cli.fit:validate",
        "test": "lightrec.cli.fit:assess_test",
        "simulate": "lightrec.cli.play:simulate",
        "data check": "lightrec.cli.data:check",
        "data convert": "lightrec.cli.data:convert",
        "plugins list": "lightrec.cli.plugins:list_plugins",
        "plugins show": "lightrec.cli.plugins:show",
        "plugins check": "lightrec.cli.plugins:check",
        "plugins new": "lightrec.cli.plugins:new",
        "recipes list": "lightrec.cli.recipes:list_recipes",
        "recipes show": "lightrec.cli.recipes:show",
        "recipes copy": "lightrec.cli.recipes:copy",
        "doctor": "lightrec.cli.doctor:doctor",
    }
)
"""The commands, in the order in which `lightrec --help` lists them."""
INSIDE: Path = Path(__file__).parent / "recipes"
"""The recipes lie inside the package in a wheel, and next to it in a checkout."""
lightrec_recipes = gives([INSIDE if INSIDE.is_dir() else Path(__file__).parents[1] / "recipes"])
