"""What this package adds to lightrec."""

from pathlib import Path

from lightrec.api import gives

LIGHTREC_API = 2

lightrec_domains = gives({"music": "lightrec_music.domain:MusicDomain"})
lightrec_readers = gives({"ListeningSets": "lightrec_music.readers:ListeningSets"})
lightrec_rewards = gives({"DiscoveryReward": "lightrec_music.familiarity:DiscoveryReward"})
lightrec_evaluators = gives({"Familiarity": "lightrec_music.familiarity:Familiarity"})
lightrec_recipes = gives([Path(__file__).parent / "recipes"])
