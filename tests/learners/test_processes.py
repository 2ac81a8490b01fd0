"""Two processes train what one would have trained, step by step, or refuse to."""

import socket

import pytest
import torch

from lightrec.data.share import Share
from tests.learners.two_processes import train, train_together
from tests.processes import apart

SHARED = ["ranking softmax", "ranking sampled", "choice pooled", "choice maxent"]
ALONE = {
    "policy ppo": "PolicyModule",
    "replay dqn": "ReplayPolicyModule",
}


@pytest.fixture(scope="module")
def both(bandit, tmp_path_factory):
    """What each of two processes found, by name; started once for all."""
    out = tmp_path_factory.mktemp("processes")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    files = [out / "first.pt", out / "second.pt"]
    names = [*SHARED, *ALONE]
    apart(train_together, *((rank, 2, port, bandit, files[rank], names) for rank in range(2)))
    return [torch.load(file, weights_only=True) for file in files]


@pytest.mark.slow
@pytest.mark.parametrize("name", SHARED)
def test_two_processes_come_to_what_one_does(bandit, both, name):
    one = train(name, bandit, 1)
    first, second = (found[name] for found in both)
    assert len(one["losses"]) == 20
    # Each process gives its part of the loss; gradients, and so losses, are averaged.
    mean = (torch.tensor(first["losses"]) + torch.tensor(second["losses"])) / 2
    torch.testing.assert_close(mean, torch.tensor(one["losses"]), atol=1e-5, rtol=0)
    for key, weight in one["weights"].items():
        torch.testing.assert_close(first["weights"][key], weight, atol=1e-5, rtol=0)
        assert torch.equal(first["weights"][key], second["weights"][key]), key
    assert first["metrics"] == second["metrics"]
    assert first["metrics"] == pytest.approx(one["metrics"], abs=1e-5)


@pytest.mark.parametrize("name", ALONE)
def test_what_plays_its_own_sessions_refuses_a_second_process(both, name):
    for found in both:
        assert found[name]["refused"] == (
            f"{ALONE[name]} trains in one process, and the recipe asks for 2. Set trainer.devices "
            "to 1; the ranker, users_a and users_b stages can train in several."
        )


def test_shares_are_of_all_rows_and_of_nothing_twice():
    rows = list(range(11))
    parts = [rows[Share(rank, 3).rows] for rank in range(3)]
    assert sorted(row for part in parts for row in part) == rows
    # A rest of two rows has none for the third process.
    assert [Share(0, 3).batches(count, 4) for count in (8, 10, 11)] == [2, 2, 3]
