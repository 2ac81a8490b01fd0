import polars as pl
import pytest
import torch

from lightrec.errors import DataError
from lightrec.evaluation.held_out import random_scores
from lightrec.evaluation.predictions import PredictionScorer

USERS, ITEMS = pl.Series(["ann", "bob", "cy"]), pl.Series(["x", "y", "z"])


def batch(*users):
    return {"user": torch.tensor(users)}


def test_random_scores_follow_from_seed_and_user_alone_and_are_uncorrelated():
    one = random_scores(1000, seed=1)
    alone, together = one(batch(7)), one(batch(3, 7))
    assert torch.equal(alone[0], together[1])
    assert not torch.equal(together[0], together[1])
    assert not torch.equal(alone, random_scores(1000, seed=2)(batch(7)))
    scores = random_scores(2000)(batch(*range(50)))
    assert scores.mean().item() == pytest.approx(0.5, abs=0.005)
    assert torch.corrcoef(scores).fill_diagonal_(0).abs().max() < 0.12


def test_predictions_rank_what_they_list_tie_the_rest_at_the_bottom_and_are_of_known_people():
    table = pl.DataFrame(
        {
            "user": ["bob", "ann", "bob", "who", "bob"],
            "item": ["z", "y", "x", "x", "gone"],
            "score": [-3, 5, 2, 9, 4],
        }
    )
    scorer = PredictionScorer(table, USERS, ITEMS)
    scores = scorer(batch(1, 0, 2))
    assert scores[0, [1, 3]].tolist() == [2, -3]
    assert scores[0, 2] == scores[1, 1] == scores[1, 3] == scores[2, 1] < -3
    assert scores[1, 2] == 5
    assert int(scorer.covers.sum()) == 2
    with pytest.raises(DataError, match="compare the ids, which are such as user 'ann' and item"):
        PredictionScorer(table.filter(user="who"), USERS, ITEMS)
