"""The reader of published logs of investments."""

from pathlib import Path

from lightrec_formats.described import DescribedReader


class InvestmentSets(DescribedReader):
    """Published logs of investments; ``sets.yaml`` describes them."""

    name = "finance-sets"
    descriptions = Path(__file__).with_name("sets.yaml")
