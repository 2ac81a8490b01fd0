"""The second look at a blend's first items: what it keeps, what it learns, and when it is taken."""

import pytest
import torch

from lightrec.keys import Key
from lightrec.ranking import reranker as module
from lightrec.ranking.reranker import Reranker

ITEMS, USERS, FIRST = 40, 2000, 20


@pytest.fixture(autouse=True)
def few_first(monkeypatch):
    monkeypatch.setattr(module, "FIRST", FIRST)


def events(decides):
    """Batches in which two parts each put an item of their own first, and one of the two comes.

    :param decides: from the two parts' scores of the two items, (B, 2, 2), which of them comes.
    """
    generator = torch.Generator().manual_seed(0)
    for start in range(0, USERS, 100):
        parts = 0.1 * torch.randn(2, 100, ITEMS + 1, generator=generator)
        ahead = 1 + torch.rand(100, ITEMS, generator=generator).topk(2).indices
        high = 3 + 2 * torch.rand(2, 100, generator=generator)
        for part in range(2):
            parts[part].scatter_(1, ahead[:, part, None], high[part, :, None])
        among = torch.stack([parts[part].gather(1, ahead) for part in range(2)], 1)
        target = ahead.gather(1, decides(among)[:, None])[:, 0]
        total = parts.sum(0)
        total[:, 0] = -torch.inf
        users = torch.arange(start, start + 100)
        seen = torch.zeros(100, 1, dtype=torch.int64)
        yield {Key.TARGET: target, Key.SEEN: seen, Key.USER: users}, total, parts


def test_a_new_one_repeats_the_blend():
    reranker = Reranker(["a", "b"], repeats=False)
    reranker.direct.data[:, 0] = 1
    batch, total, parts = next(events(lambda among: torch.zeros(100, dtype=torch.int64)))
    again = reranker(total, parts, batch[Key.SEEN])
    assert torch.allclose(again, total, atol=1e-4)


def test_only_the_first_items_share_their_probability_anew():
    torch.manual_seed(0)
    reranker = Reranker(["a", "b"], repeats=False)
    for weights in reranker.parameters():
        weights.data = torch.randn_like(weights)
    _, total, parts = next(events(lambda among: torch.zeros(100, dtype=torch.int64)))
    history = total.topk(3).indices
    again = reranker(total, parts, history)
    places = total.scatter(1, history, -torch.inf).topk(FIRST).indices
    looked = torch.zeros_like(total, dtype=torch.bool).scatter(1, places, True)
    assert torch.equal(again[~looked], total[~looked])
    assert not torch.isclose(again[looked], total[looked]).any(-1).all()
    mass, before = (each.gather(1, places).logsumexp(1) for each in (again, total))
    assert torch.allclose(mass, before, atol=1e-4)
    repeated = Reranker(["a", "b"], repeats=True)
    repeated.load_state_dict(reranker.state_dict())
    again = repeated(total, parts, history).gather(1, history)
    assert not torch.equal(again, total.gather(1, history))


@pytest.mark.parametrize(
    ("decides", "taken"),
    [
        # The part that is surer of its own item is right less often than the other one.
        (lambda among: (among[:, 0, 0] > among[:, 1, 1]).long(), True),
        (lambda among: among.sum(1).argmax(1), False),
    ],
)
def test_it_is_taken_where_more_than_a_sum_ranks_better(decides, taken):
    better, metrics = Reranker(["a", "b"], repeats=False).choose(events(decides), seed=0)
    assert better == taken
    assert metrics["ndcg@10"] > 0.9


def test_few_events_teach_nothing():
    some = list(events(lambda among: torch.zeros(100, dtype=torch.int64)))[:2]
    reranker = Reranker(["a", "b"], repeats=False)
    assert not reranker.choose(some, seed=0)[0]
    assert reranker.choose([], seed=0) == (False, {})
