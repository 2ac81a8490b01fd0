"""New items come in place of those that they read like, and the law stays a law."""

import pytest
import torch
from lightrec_generate.generator import LEAST
from lightrec_generate.parallel import ParallelGenerator
from lightrec_generate.tree import TreeGenerator

ITEMS, NEW = 40, (3, 17, 20, 25)
HISTORIES = torch.tensor([[0, 0, 0], [0, 0, 9], [3, 6, 7], [0, 5, 8], [12, 1, 20]])


@pytest.mark.parametrize("kind", [TreeGenerator, ParallelGenerator])
def test_the_law_is_that_of_what_is_replaced(tiny_generator, kind):
    made, share = tiny_generator(kind, new=(*NEW, 5)), 4.0 * 4 / (4.0 * 4 + 35)
    law = made.log_probabilities(made.user_vectors(HISTORIES)).double()
    torch.testing.assert_close(law.exp().sum(1), torch.ones(5).double(), atol=1e-5, rtol=0)
    made = tiny_generator(kind, new=(*NEW, 5), fresh=0.0)
    alone = made.log_probabilities(made.user_vectors(HISTORIES)).double().exp()
    words = made.identifiers.vectors[:, :6].double()
    old = [item for item in range(1, ITEMS + 1) if item not in (*NEW, 5)]
    near = {
        i: {j: (10 * torch.cosine_similarity(words[i], words[j], 0)).exp() for j in NEW}
        for i in old
    }
    totals = {j: sum(near[i][j] for i in old) for j in NEW}
    chance = {i: {j: near[i][j] / totals[j] for j in NEW} for i in old}
    chance = {i: {j: c / sum(each.values()) for j, c in each.items()} for i, each in chance.items()}
    for row, history in enumerate(HISTORIES.tolist()):
        ages = {item: 0.5**age for age, item in enumerate(reversed(history)) if item in old}
        replaced = {i: alone[row, i] * (0.8 if ages else 1.0) for i in old}
        for item, weight in ages.items():
            replaced[item] += 0.2 * weight / sum(ages.values())
        for j in NEW:
            expected = share * sum(replaced[i] * chance[i][j] for i in old)
            torch.testing.assert_close(law[row, j].exp(), expected, rtol=1e-4, atol=1e-7)
        torch.testing.assert_close(law[row, old].exp(), (1 - share) * alone[row, old])
    assert (law[:, 5] <= LEAST).all()  # neither chosen nor described


@pytest.mark.parametrize("kind", [TreeGenerator, ParallelGenerator])
def test_new_items_are_written_without_training(tiny_generator, kind):
    made = tiny_generator(kind)
    words = torch.randn(5, 6, generator=torch.Generator().manual_seed(3))
    grown = made.with_items(words)
    before, law = (each.log_probabilities(each.user_vectors(HISTORIES)) for each in (made, grown))
    assert law.shape == (len(HISTORIES), ITEMS + 6)
    torch.testing.assert_close(law.exp().sum(1), torch.ones(len(HISTORIES)))
    assert (law[:, ITEMS + 1 :] > LEAST).all()
    # The others' odds do not depend on who else is there. Item 5 has no words, and stays.
    old = [item for item in range(1, ITEMS + 1) if item != 5]
    torch.testing.assert_close(law[:, old].log_softmax(1), before[:, old].log_softmax(1))
    assert made.newcomers is None
    assert grown.newcomers.items.tolist() == [*range(ITEMS + 1, ITEMS + 6)]
