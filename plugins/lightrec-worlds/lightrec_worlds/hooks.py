"""What this package adds to lightrec."""

from pathlib import Path

from lightrec.api import gives

LIGHTREC_API = 2

lightrec_simulators = gives(
    {
        "AnsweredWorld": "lightrec_worlds.answered:AnsweredWorld",
        "InterestEvolution": "lightrec_worlds.recsim:InterestEvolution",
        "LongTermSatisfaction": "lightrec_worlds.recsim:LongTermSatisfaction",
        "Greed": "lightrec_worlds.greed:Greed",
        "Retention": "lightrec_worlds.retention:Retention",
        "Tastes": "lightrec_worlds.tastes:Tastes",
    }
)
lightrec_components = gives({"WorldData": "lightrec_worlds.world_data:WorldData"})
lightrec_policies = gives({"BeliefPolicy": "lightrec_worlds.beliefs:BeliefPolicy"})
lightrec_policy_makers = gives({"constant": "lightrec_worlds.constant:BestConstant"})
lightrec_recipes = gives([Path(__file__).parent / "recipes"])
