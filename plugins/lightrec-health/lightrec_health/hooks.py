"""What this package adds to lightrec."""

from pathlib import Path

from lightrec.api import gives

LIGHTREC_API = 2

lightrec_domains = gives({"health": "lightrec_health.domain:HealthDomain"})
lightrec_readers = gives({"HealthSets": "lightrec_health.readers:HealthSets"})
lightrec_rewards = gives({"HealthReward": "lightrec_health.reward:HealthReward"})
lightrec_evaluators = gives({"HealthTradeOff": "lightrec_health.evaluator:HealthTradeOff"})
lightrec_recipes = gives([Path(__file__).parent / "recipes"])
