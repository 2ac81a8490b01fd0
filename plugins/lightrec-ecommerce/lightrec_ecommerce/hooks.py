"""What this package adds to lightrec."""

from pathlib import Path

from lightrec.api import gives

LIGHTREC_API = 2

lightrec_domains = gives({"ecommerce": "lightrec_ecommerce.domain:EcommerceDomain"})
lightrec_readers = gives({"ShopSets": "lightrec_ecommerce.readers:ShopSets"})
lightrec_rewards = gives({"Revenue": "lightrec_ecommerce.rewards:Revenue"})
lightrec_evaluators = gives({"Sales": "lightrec_ecommerce.sales:Sales"})
lightrec_recipes = gives([Path(__file__).parent / "recipes"])
