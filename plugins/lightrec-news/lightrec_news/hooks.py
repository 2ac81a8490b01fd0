"""What this package adds to lightrec."""

from pathlib import Path

from lightrec.api import gives

LIGHTREC_API = 2

lightrec_domains = gives({"news": "lightrec_news.domain:NewsDomain"})
lightrec_readers = gives({"NewsSets": "lightrec_news.readers:NewsSets"})
lightrec_rewards = gives({"ReadingReward": "lightrec_news.reward:ReadingReward"})
lightrec_evaluators = gives({"TopicsAndAge": "lightrec_news.evaluator:TopicsAndAge"})
lightrec_recipes = gives([Path(__file__).parent / "recipes"])
