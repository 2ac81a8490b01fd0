"""Series that are followed, and time that is watched, on numbers computed by hand."""

import polars as pl
import pytest
import torch
from lightrec_video.watching import NextEpisode, WatchTime
from tensordict import TensorDict

from lightrec.data.domain import Domain
from lightrec.errors import NotApplicable, RecipeError
from lightrec.keys import Key
from lightrec.policies.base import session_start
from lightrec.ranking.item_models.base import Evidence
from lightrec.rewards.accepted import ValueReward
from lightrec.testing import tiny

SERIES = {
    "series": ["Lighthouse", "Lighthouse", None, "Lighthouse", "Harbour", "Harbour"],
    "season": [1, 2, None, 1, 1, 1],
    "episode": [1, 1, None, 2, 4, 9],
}


def evidence(**columns: list[object]) -> Evidence:
    items = pl.DataFrame({"item": [*"abcdef"], **columns})
    return Evidence(None, 6, torch.zeros(7, 0), items=items)  # type: ignore[arg-type]


def test_the_next_episode_of_what_was_seen_last_comes_first() -> None:
    model = NextEpisode(decay=0.5).fit(evidence(**SERIES))
    assert model.following.tolist() == [0, 4, 0, 0, 2, 6, 0]
    histories = torch.tensor([[0, 1, 5, 3], [0, 0, 1, 4], [0, 0, 0, 0]])
    expected = torch.zeros(3, 7)
    expected[0, 4], expected[0, 6] = 0.25, 0.5
    expected[1, 2] = 1.0  # the second season, and not episode 2, which was seen
    torch.testing.assert_close(model.scores(histories), expected)


@pytest.mark.parametrize("columns", [{}, {"series": [None] * 6}, {**SERIES, "series": [*"uvwxyz"]}])
def test_films_alone_are_no_series(columns: dict[str, list[object]]) -> None:
    with pytest.raises(NotApplicable, match="series"):
        NextEpisode().fit(evidence(**columns))


def test_watch_time_is_a_mean_of_share_and_length() -> None:
    context, value = tiny.kit_context(), ValueReward()
    length = context.item_attribute("price").cast(pl.Float32).to_torch()
    reward = WatchTime(0.25, "price")
    for each in (reward, value):
        each.bind(context)
    slate = torch.tensor([[1, 2], [2, 3], [4, 0]])
    taken = torch.tensor([[True, False], [False, True], [False, False]])
    state = session_start(torch.tensor([[0, 2], [1, 2], [3, 4]]), torch.arange(3))
    transition = TensorDict(state | {Key.ACTION: slate, Key.TAKEN: taken}, [3])
    own = torch.tensor([length[0], length[2], 1.0])
    seconds = value(transition).squeeze(1).clamp(min=0).minimum(own)
    expected = 0.25 * seconds / own + 0.75 * seconds / length.max()
    torch.testing.assert_close(reward(transition).squeeze(1), expected)
    with pytest.raises(RecipeError, match="from 0 to 1"):
        WatchTime(1.5)


def test_what_was_abandoned_is_no_target() -> None:
    from lightrec_video.domain import VideoDomain

    worths = VideoDomain().weights(["watch", "abandon"])
    assert worths == {"watch": 1.0, "abandon": -1.0}
    assert Domain().weights(["watch"]) is None
