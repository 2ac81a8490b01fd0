"""What this package adds to lightrec."""

from pathlib import Path

from lightrec.api import gives

LIGHTREC_API = 2

lightrec_domains = gives({"advertising": "lightrec_advertising.domain:AdvertisingDomain"})
lightrec_readers = gives({"AdvertisingSets": "lightrec_advertising.readers:AdvertisingSets"})
lightrec_rewards = gives({"ExpectedValueReward": "lightrec_advertising.reward:ExpectedValueReward"})
lightrec_evaluators = gives({"ClickCalibration": "lightrec_advertising.evaluator:ClickCalibration"})
lightrec_recipes = gives([Path(__file__).parent / "recipes"])
