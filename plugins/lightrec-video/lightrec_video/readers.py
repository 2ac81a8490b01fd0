"""The reader of published logs of watching, such as MovieLens.

Catalog of MovieLens: item, title (without the year), year, genres (list). Users: age, gender,
occupation, zip_code, as far as the set has them.
"""

from pathlib import Path

from lightrec_formats.described import DescribedReader


class WatchingSets(DescribedReader):
    """Published logs of watching; ``sets.yaml`` describes them."""

    name = "video-sets"
    descriptions = Path(__file__).with_name("sets.yaml")
