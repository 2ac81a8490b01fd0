"""The reader of published logs of news."""

from pathlib import Path

from lightrec_formats.described import DescribedReader


class NewsSets(DescribedReader):
    """Published logs of news; ``sets.yaml`` describes them."""

    name = "news-sets"
    descriptions = Path(__file__).with_name("sets.yaml")
