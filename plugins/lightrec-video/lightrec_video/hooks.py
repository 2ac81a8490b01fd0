"""What this package adds to lightrec."""

from pathlib import Path

from lightrec.api import gives

LIGHTREC_API = 2

lightrec_domains = gives({"video": "lightrec_video.domain:VideoDomain"})
lightrec_readers = gives({"WatchingSets": "lightrec_video.readers:WatchingSets"})
lightrec_components = gives({"NextEpisode": "lightrec_video.watching:NextEpisode"})
lightrec_recipes = gives([Path(__file__).parent / "recipes"])
