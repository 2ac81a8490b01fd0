"""A generator keeps to one device, whichever it is, and gives there what it gives elsewhere."""

import copy
import sys
from importlib.util import find_spec
from multiprocessing import get_context

import pytest
import torch
from lightrec_generate.decoding import beam

HISTORY, TARGET = torch.tensor([[0, 0, 3, 8], [5, 2, 30, 4]]), torch.tensor([4, 9])


def elsewhere(generator, path, found):
    """Compute in a process that has a second device from its start."""
    sys.path[:] = path
    from tests.second_device import DEVICE, second_device

    with second_device():
        made = generator.to(DEVICE)
        history, target = HISTORY.to(DEVICE), TARGET.to(DEVICE)
        loss = made.loss(made.states(history)[:, -1], target)
        loss.sum().backward()
        with torch.no_grad():
            shown = torch.ones(made.num_items + 1, dtype=torch.bool).to(DEVICE)
            items = beam(made, made.user_vectors(history), 5, shown).items
            scores = made.scores(history)
        found.put([part.detach().tolist() for part in (loss, scores, items)])


@pytest.mark.skipif(
    find_spec("tests") is None, reason="The second device is lightrec's own test's."
)
def test_a_second_device_gives_the_same(generator):
    context = get_context("spawn")
    found = context.Queue()
    process = context.Process(target=elsewhere, args=(copy.deepcopy(generator), sys.path, found))
    process.start()
    loss, scores, items = (torch.tensor(part) for part in found.get(timeout=120))
    process.join()
    expected = generator.loss(generator.states(HISTORY)[:, -1], TARGET)
    torch.testing.assert_close(loss, expected.detach())
    torch.testing.assert_close(scores, generator.scores(HISTORY).detach())
    assert torch.equal(items, beam(generator, generator.user_vectors(HISTORY), 5).items)
