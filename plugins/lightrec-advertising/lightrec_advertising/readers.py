"""Published logs of advertising, some of them trials, which give unbiased logs."""

from pathlib import Path

from lightrec_formats.described import DescribedReader


class AdvertisingSets(DescribedReader):
    """Published logs of advertising; ``sets.yaml`` describes them."""

    name = "advertising-sets"
    descriptions = Path(__file__).with_name("sets.yaml")
