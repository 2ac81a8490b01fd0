from types import SimpleNamespace

import pytest
import torch

from lightrec.keys import Key
from lightrec.users.assessment import fit_popularity, popularity_law
from lightrec.users.choice_model import PooledChoice, RecurrentChoice

N, D, L = 12, 3, 5


@pytest.mark.parametrize("kind", [PooledChoice, RecurrentChoice])
@torch.no_grad()
def test_attributes_move_tastes_and_start_silent(kind):
    sizes = {"feature_size": 4, "hidden_size": 8, "identity_size": 2}
    model = kind(N, D, L, **sizes)
    model.set_items(torch.randn(N + 1, D), torch.randn(N + 1))
    torch.nn.init.normal_(model.bias)
    history = torch.tensor([[0, 0, 3, N + 1, 5], [7, 1, 2, 9, 12], [0, 0, 0, 0, 0]])
    items = torch.tensor([[1, 2, 11], [4, 8, 3], [6, 5, 0]])
    torch.manual_seed(0)
    knowing = kind(N, D, L, **sizes, people=(3, 2))
    fresh = knowing.load_state_dict(model.state_dict(), strict=False)
    assert (fresh.missing_keys, fresh.unexpected_keys) == (["profile", "people"], [])
    user = torch.tensor([2, 0, 1])
    knowing.set_people(torch.tensor([[1.0, 0], [0, 1], [2, 2]]))
    plain = model.log_probabilities(history, items)
    assert torch.equal(knowing.log_probabilities(history, items, user), plain)
    knowing.profile.copy_(torch.randn(2, 5))
    assert torch.equal(knowing.log_probabilities(history, items), plain)  # the mean person
    moved = knowing.reward(history, items, user) - model.reward(history, items)
    change = torch.tensor([[1.0, 1], [0, -1], [-1, 0]]) @ knowing.profile
    features = knowing.item_features()[0][items]
    expected = (features @ change[:, :4, None]).squeeze(2) + change[:, 4:]
    there = items > 0
    torch.testing.assert_close(moved[there], expected[there])
    # A batch has users for both blocks of sets, a simulator for each history.
    twice = knowing.log_probabilities(history, torch.cat([items, items]), user)
    both = knowing.log_probabilities(history, torch.cat([items, items]), torch.cat([user, user]))
    assert torch.equal(twice, both)


def test_popularity_finds_the_law_that_made_the_choices():
    generator = torch.Generator().manual_seed(0)
    scores = torch.cat([torch.zeros(1), torch.randn(50, generator=generator)])
    items = torch.randint(1, 51, (40_000, 5), generator=generator)
    truth = torch.tensor([0.7, 1.2])
    probabilities = popularity_law(scores, truth, items).exp()
    choice = torch.multinomial(probabilities, 1, generator=generator).squeeze(1)
    batch = {Key.CANDIDATES: items, Key.CHOICE: choice, Key.WEIGHT: torch.ones(len(items))}
    data = SimpleNamespace(log_popularity=scores, batches=lambda part, limit: [batch])
    found = fit_popularity(data)(items)
    assert (found - probabilities.log()).abs().max() < 0.1
