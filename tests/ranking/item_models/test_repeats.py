"""What comes again: weekly buyers, and baskets that are bought."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lightrec.errors import NotApplicable
from lightrec.ranking.item_models.repeats import RepeatConsumption

from .test_item_models import DAY, evidence


def weekly(users=60, weeks=12):
    """Item 1 every week, item 2 every fourth week, others at random and once."""
    generator, times = np.random.default_rng(0), []
    events = [[] for _ in range(users)]
    for own in events:
        for week in range(weeks):
            basket = [1, *([2] if week % 4 == 0 else []), *generator.integers(3, 400, 2)]
            own += basket
            times += [week * 7 * DAY + minute * 60_000 for minute in range(len(basket))]
    found = evidence(events, 399)
    return replace(found, log=replace(found.log, times=np.array(times)))


def test_what_is_due_comes_before_what_is_not_and_before_what_came_once():
    model = RepeatConsumption().fit(weekly())
    # Four visits, the last one four weeks after item 2 came first: it is due, with item 1.
    history = [1, 2, 3, 4, 1, 5, 6, 1, 7, 8, 1, 9, 10]
    gap = [0, 1, 1, 1, 15, 1, 1, 15, 1, 1, 15, 1, 1]
    details = {"gap": torch.tensor([gap]), "feedback": torch.zeros(1, 13, dtype=torch.int64)}
    scores = model.scores(torch.tensor([history]), details=details)[0]
    assert scores.argmax() == 1
    assert scores[1] > 3 * scores[3:11].max()
    # All that is not in the history shares what is left; what has just been had comes after it.
    assert scores[11:].unique().numel() == 1
    assert 0 < scores[11] < scores[2]


def test_probabilities_by_kind_are_those_of_the_log():
    """Of ten that are put into the basket six are bought next; of what is viewed, none is."""
    users = [
        [60 + user % 7, 1 + user % 50, 1 + user % 50 if user % 10 < 6 else 80 + user % 30]
        for user in range(400)
    ]
    found, worth = evidence(users, 109), np.array([0, 0.1, 0.3, 1], np.float32)
    log = replace(found.log, feedback=np.tile([1, 2, 3], 400).astype(np.int8))
    model = RepeatConsumption().fit(replace(found, log=log, worth=worth))
    details = {"feedback": torch.tensor([[1, 2]])}
    scores = model.scores(torch.tensor([[60, 7]]), details=details)[0]
    assert scores[7] == pytest.approx(0.6, abs=0.02)
    assert scores[60] < 0.02


def test_where_nothing_comes_again_it_does_not_apply():
    with pytest.raises(NotApplicable, match="the prepared log has 0"):
        RepeatConsumption().fit(evidence(np.arange(1, 301).reshape(3, 100), 300))
