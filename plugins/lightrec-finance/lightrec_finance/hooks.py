"""What this package adds to lightrec."""

from pathlib import Path

from lightrec.api import gives

LIGHTREC_API = 2

lightrec_domains = gives({"finance": "lightrec_finance.domain:FinanceDomain"})
lightrec_readers = gives({"InvestmentSets": "lightrec_finance.readers:InvestmentSets"})
lightrec_rewards = gives({"RiskAdjustedReward": "lightrec_finance.reward:RiskAdjustedReward"})
lightrec_evaluators = gives({"Portfolios": "lightrec_finance.evaluator:Portfolios"})
lightrec_recipes = gives([Path(__file__).parent / "recipes"])
