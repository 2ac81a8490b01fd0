"""Readers of published networks, and of Last.fm's friendships as a log."""

from pathlib import Path

from lightrec_formats.described import DescribedReader


class NetworkSets(DescribedReader):
    """Published logs of networks; ``sets.yaml`` describes them."""

    name = "social-sets"
    descriptions = Path(__file__).with_name("sets.yaml")
