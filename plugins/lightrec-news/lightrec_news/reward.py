"""A reward of dwell time that does not pay for length."""

from lightrec_rewards.accepted import LengthReward

from lightrec_news.domain import WORDS_A_SECOND


class ReadingReward(LengthReward):
    """The share of an accepted article that its reader is expected to read, from 0 to 1.

    A click alone pays for bait, and seconds of dwell pay for long articles: so the expected seconds
    are divided by those that the article takes (compare Yi et al. 2014, "Beyond clicks: dwell time
    for personalization"). The values of the log are seconds.

    :param length: the items' attribute that holds their number of words.
    """

    def __init__(self, length: str = "words") -> None:
        super().__init__(length, unit=1 / WORDS_A_SECOND)
