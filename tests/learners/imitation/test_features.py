import torch
from tensordict import TensorDict

from lightrec.keys import Key
from lightrec.learners.imitation.features import CandidateFeatures, VectorFeatures
from tests.learners.imitation.transitions import random_transitions


def test_observations_are_standardised_and_cut():
    features = VectorFeatures(2, 3, limit=2.0)
    features.fit(torch.tensor([[[0.0, 10.0], [2.0, 30.0]]]))
    batch = TensorDict({Key.OBSERVATION: torch.tensor([[1.0, 20.0], [1.0 + 2**0.5, 1e6]])}, [2])
    torch.testing.assert_close(features.states(batch), torch.tensor([[0.0, 0.0], [1.0, 2.0]]))
    assert torch.equal(features.choices(batch), torch.eye(3).expand(2, 3, 3))
    batch[Key.ACTION] = torch.tensor([[2], [0]])
    assert features.chosen(batch).tolist() == [[0, 0, 1], [1, 0, 0]]


def test_absorbing_states_are_marked_and_all_alike():
    features = VectorFeatures(3, 2, absorbing=True)
    batch = random_transitions(4).set(Key.ABSORBING, torch.tensor([[True], [False]]).repeat(2, 1))
    states, chosen = features.states(batch), features.chosen(batch)
    assert torch.equal(states[0], torch.tensor([0.0, 0, 0, 1]))
    assert torch.equal(states[0], states[2])
    assert not chosen[[0, 2]].any()
    assert torch.equal(states[1, :3], batch[Key.OBSERVATION][1])
    assert chosen[[1, 3]].sum() == 2


def test_candidates_are_vectors_ids_and_nothing():
    torch.manual_seed(0)
    features = CandidateFeatures(5, 2, 3, identity_size=2, pools=2)
    vectors = torch.randn(6, 2)
    features.set_items(vectors)
    batch = TensorDict(
        {
            Key.HISTORY: torch.tensor([[0, 2, 6], [0, 0, 0]]),
            Key.CANDIDATES: torch.tensor([[1, 4], [3, 0]]),
            Key.ACTION: torch.tensor([[1], [2]]),
        },
        [2],
    )
    table = torch.zeros(7, 5)
    centred = vectors[1:] - vectors[1:].mean(0)
    table[1:6, :2] = centred / centred.square().mean().sqrt()
    table[1:6, 2:4] = features.identity[1:]
    table[6, 4] = 1
    torch.testing.assert_close(features.choices(batch), table[torch.tensor([[1, 4, 6], [3, 0, 6]])])
    torch.testing.assert_close(features.chosen(batch), table[[4, 6]])
    assert features.allowed(batch).tolist() == [[True, True, True], [True, False, True]]
    expected = (features.weights @ table[[0, 2, 6]]).flatten()
    torch.testing.assert_close(features.states(batch)[0], expected)
    assert not features.states(batch)[1].any()
    assert features.state_size == 10
    assert features.choice_size == 5
