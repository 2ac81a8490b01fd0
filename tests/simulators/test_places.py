"""What places do to logits, and which weights are refused."""

import math

import pytest
import torch

from lightrec.errors import RecipeError
from lightrec.simulators.places import place_weights, placed


def test_without_weights_logits_are_given_back():
    logits = torch.randn(2, 3)
    assert place_weights(None, 3, None) is None
    assert placed(logits, None) is logits


def test_weights_are_added_place_by_place():
    weights = place_weights([0.0, -1.5, -math.inf], 3, None)
    found = placed(torch.tensor([[1.0, 2.0, 3.0]]), weights)
    assert found.tolist() == [[1.0, 0.5, -math.inf]]


@pytest.mark.parametrize("bad", [[], [0.0], [0.0, math.nan], [0.0, math.inf]])
def test_other_weights_are_refused(bad):
    with pytest.raises(RecipeError, match="give a number for each of the 2 places"):
        place_weights(bad, 2, None)
