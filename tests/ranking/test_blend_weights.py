"""Weights against those that made the events, a maximum found otherwise, and known rankings."""

import math

import pytest
import torch

from lightrec.ranking.blend_weights import (
    ABSENT,
    Candidates,
    choice_in_words,
    choose_weights,
    fit_weights,
    gains,
    search_weights,
)

START = torch.tensor([1.0, 0.0])


def sampled(weights, events=4000, items=30, seed=0) -> Candidates:
    """Events drawn from the softmax of known weights."""
    generator = torch.Generator().manual_seed(seed)
    parts = torch.randn(len(weights), events, items, generator=generator)
    logits = torch.einsum("k,kec->ec", torch.tensor(weights), parts)
    came = torch.multinomial(logits.softmax(1), 1, generator=generator)
    own = came.expand(len(weights), -1, 1)
    differences = (parts - parts.gather(2, own)).scatter(2, own, ABSENT)
    corrections = torch.zeros(events, items).scatter(1, came, -torch.inf)
    return Candidates(differences, corrections, items, torch.arange(events))


def test_weights_that_made_the_events_are_found():
    found = fit_weights(sampled([0.8, 0.0, 1.5]))
    assert found.tolist() == pytest.approx([0.8, 0.0, 1.5], abs=0.06)
    assert (found >= 0).all()


def test_without_events_the_weights_stay_as_they_were():
    nothing = Candidates(torch.zeros(2, 0, 5), torch.zeros(0, 5), 5, torch.zeros(0).long())
    assert torch.equal(fit_weights(nothing), START)
    assert choose_weights(nothing, ["a", "b"]) == ({"a": 1.0, "b": 0.0}, "likelihood", {})


def test_gains_are_those_of_the_rank_and_equals_share_theirs():
    scores = torch.tensor([[ABSENT, -1.0, -2.0], [1.0, -1.0, ABSENT], [0.0, 1.0, -1.0]])
    ranks = [1, 2, 2.5]
    assert gains(scores).tolist() == pytest.approx([1 / math.log2(1 + rank) for rank in ranks])
    assert gains(torch.ones(1, 10)).tolist() == [0.0]


def searched_of(given: Candidates, likely: torch.Tensor, best: int) -> torch.Tensor:
    """The mean of what each fifth of the users is left out of."""
    folds = [
        search_weights(
            given.heads()[:, given.users % 5 != fold], [likely, torch.eye(len(likely))[best]]
        )
        for fold in range(5)
    ]
    return torch.stack(folds).mean(0)


def test_in_doubt_the_mean_of_likeliest_and_searched_weights_is_taken():
    generator = torch.Generator().manual_seed(1)
    given = Candidates(
        torch.randn(2, 300, 20, generator=generator), torch.zeros(300, 20), 20, torch.arange(300)
    )
    weights, chosen, metrics = choose_weights(given, ["a", "b"])
    assert chosen == "mean"
    likely = fit_weights(given)
    best = max(range(2), key=lambda k: metrics[f"{'ab'[k]}/ndcg@10"])
    mean = (likely / likely.sum() + searched_of(given, likely, best)) / 2
    assert [*weights.values()] == pytest.approx((mean * max(likely.sum(), 0.1)).tolist(), rel=1e-5)


def test_searched_weights_are_taken_where_they_are_clearly_ahead():
    # Of two users of three each part puts another item before what came; at shares of 1/5 to 4/5
    # neither is. Those of the third choose what no list of ten would hold, and what the second part
    # says of them is so wrong that it gets no weight by likelihood.
    differences = torch.full((2, 300, 20), -4.0)
    differences[0, :200, 0] = differences[1, :200, 1] = 1.0
    differences[0, 200:], differences[1, 200:] = 0.5, 8.0
    given = Candidates(differences, torch.zeros(300, 20), 20, torch.arange(300))
    weights, chosen, metrics = choose_weights(given, ["right", "helpful"])
    assert chosen == "ndcg"
    assert metrics["weights/likelihood/ndcg@10"] == pytest.approx(2 / 3 / math.log2(3))
    assert metrics["weights/ndcg/ndcg@10"] == pytest.approx(2 / 3)
    assert metrics["right/ndcg@10"] == pytest.approx(2 / 3 / math.log2(3))
    likely = fit_weights(given)
    assert likely[1] == 0
    mean = searched_of(given, likely, 0) * max(likely.sum(), 0.1)
    assert [*weights.values()] == pytest.approx(mean.tolist(), rel=1e-5)


@pytest.mark.parametrize(
    ("events", "helped", "taken"), [(60, 6, True), (60, 30, False), (400, 6, False)]
)
def test_popularity_stays_where_few_events_do_not_clearly_say_otherwise(events, helped, taken):
    """Leads of six against four events, and of thirty: 0.6 and 4.5 standard errors."""
    ranked = torch.zeros(2, events, 40)
    ranked[0, helped:] = 1.0  # what came is last, by both parts
    ranked[0, :helped] = -1.0  # the first part has it first
    ranked[1] = 1.0
    ranked[1, helped : helped + 4] = -1.0  # popularity finds others
    users = torch.arange(events)
    given = Candidates(ranked, torch.zeros(events, 40), 40, users)
    weights, chosen, _ = choose_weights(given, ["part", "Popularity"])
    assert (chosen == "popularity") == taken
    if taken:
        assert weights["part"] == 0
        assert weights["Popularity"] > 0
        assert "popularity alone" in choice_in_words(chosen, {})
