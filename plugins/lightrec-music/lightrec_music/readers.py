"""The reader of published logs of listening."""

from pathlib import Path

from lightrec_formats.described import DescribedReader


class ListeningSets(DescribedReader):
    """Published logs of listening; ``sets.yaml`` describes them."""

    name = "music-sets"
    descriptions = Path(__file__).with_name("sets.yaml")
