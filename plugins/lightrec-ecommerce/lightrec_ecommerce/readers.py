"""The reader of published shops."""

from pathlib import Path

from lightrec_formats.described import DescribedReader


class ShopSets(DescribedReader):
    """Published logs of shops; ``sets.yaml`` describes them."""

    name = "ecommerce-sets"
    descriptions = Path(__file__).with_name("sets.yaml")
