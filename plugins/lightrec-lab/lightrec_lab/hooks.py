"""What this package adds to lightrec."""

from pathlib import Path

from lightrec.api import gives

LIGHTREC_API = 2

lightrec_components = gives(
    {
        "GAIL": "lightrec_lab.adversarial:GAIL",
        "AIRL": "lightrec_lab.adversarial:AIRL",
        "TasteMixture": "lightrec_lab.irl:TasteMixture",
        "GRU": "lightrec_lab.towers:GRU",
        "LigrTransformer": "lightrec_lab.towers:LigrTransformer",
        "MeanPooling": "lightrec_lab.towers:MeanPooling",
        "RewardWeightedLikelihood": "lightrec_lab.irl:RewardWeightedLikelihood",
        "SQIL": "lightrec_lab.imitation:SQIL",
        "ReplayPolicyModule": "lightrec_lab.replay:ReplayPolicyModule",
    }
)
lightrec_policies = gives(
    {
        "LinUCB": "lightrec_lab.bandits:LinUCB",
        "ThompsonSampling": "lightrec_lab.bandits:ThompsonSampling",
    }
)
lightrec_policy_makers = gives(
    {
        "epsilon-greedy": "lightrec_lab.bandits:TaughtEpsilonGreedy",
        "linucb": "lightrec_lab.bandits:TaughtLinUCB",
        "thompson": "lightrec_lab.bandits:TaughtThompson",
    }
)
lightrec_learners = gives(
    {
        "a2c": "lightrec_lab.algorithms:A2C",
        "reinforce": "lightrec_lab.algorithms:Reinforce",
        "reinforce-top-k": "lightrec_lab.algorithms:ReinforceTopK",
    }
)
lightrec_offline_learners = gives(
    {
        "cql": "lightrec_lab.offline:CQL",
    }
)
lightrec_recipes = gives([Path(__file__).parent / "recipes"])
