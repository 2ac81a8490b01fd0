"""What this package adds to lightrec."""

from pathlib import Path

from lightrec.api import gives

LIGHTREC_API = 2

lightrec_domains = gives({"social": "lightrec_social.domain:SocialDomain"})
lightrec_readers = gives({"NetworkSets": "lightrec_social.readers:NetworkSets"})
lightrec_rewards = gives({"ExposureReward": "lightrec_social.reward:ExposureReward"})
lightrec_evaluators = gives({"OwnCircle": "lightrec_social.circles:OwnCircle"})
lightrec_recipes = gives([Path(__file__).parent / "recipes"])
