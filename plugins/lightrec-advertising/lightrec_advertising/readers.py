"""Published logs of advertising, some of them trials, which give unbiased logs."""

from pathlib import Path

from lightrec_formats.described import DescribedReader


class AdvertisingSets(DescribedReader):
    """Published logs of advertising, as ``sets.yaml`` describes them: Criteo's attribution and
    uplift, Avazu, iPinYou, Hillstrom, AdSmart.
    """

    name = "advertising-sets"
    descriptions = Path(__file__).with_name("sets.yaml")
