"""Active learning: whose choices to ask for."""

from copy import deepcopy

import numpy as np
import torch
from lightrec_lab.active import most_informative, uncertainty

from lightrec.data.store import TRAIN
from lightrec.users.choice_data import ChoiceData
from lightrec.users.choice_model import PooledChoice
from lightrec.users.user_model import UserModel
from tests.users.stores import TWO_SETS, prepared


def users_who_disagree_on(data, names):
    """Two user models, alike but for the biases of some items."""
    torch.manual_seed(0)
    first = PooledChoice(data.num_items, 0, 4, identity_size=2).eval()
    second = deepcopy(first)
    numbers = [1 + data.store.catalog["item"].to_list().index(name) for name in names]
    with torch.no_grad():
        second.bias[numbers] += torch.tensor([3.0, -3.0])
    return UserModel([first, second])


def test_sessions_on_which_the_ensemble_disagrees_come_first(tmp_path):
    data = ChoiceData(str(prepared(TWO_SETS, tmp_path / "data").folder), history_length=4)
    sessions = np.arange(4)
    users = users_who_disagree_on(data, ["c", "d"])
    assert most_informative(users, data, sessions, 2).tolist() == [2, 3]
    users = users_who_disagree_on(data, ["a", "b"])
    assert most_informative(users, data, sessions[1:], 1).tolist() == [1]
    nats = uncertainty(users, data, data.store.events(TRAIN)[::3])
    assert (nats[:2] > 0.05).all()
    assert nats[2:].abs().max() < 1e-6
