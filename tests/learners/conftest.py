"""What the tests of policies train on."""

import polars as pd
import pytest
import torch

from lightrec.data.domain import Domain
from lightrec.data.log import InteractionLog
from lightrec.data.prepare import prepare
from lightrec.ranking.ranker import Ranker
from lightrec.users.choice_model import PooledChoice
from lightrec.users.user_model import UserModel

N = 8
CHANCES = torch.tensor([0.1, 0.2, 0.1, 0.9, 0.2, 0.1, 0.2, 0.1])


class Again(Domain):
    """Items come again, so that sessions never run out of them."""

    repeats = True


@pytest.fixture(scope="module")
def bandit(tmp_path_factory):
    """A prepared log of 30 users, an encoder that knows nothing, users with known tastes."""
    folder = tmp_path_factory.mktemp("run")
    events = [(u, 1 + (u + k) % N, k) for u in range(30) for k in range(5)]
    log = pd.DataFrame(events, schema=["user", "item", "time"], orient="row")
    log = log.with_columns(pd.col("user").cast(pd.String), pd.col("item").cast(pd.String))
    store = prepare(
        InteractionLog(log),
        folder / "data",
        domain=Again(),
        k_core=1,
        seed=0,
    )
    torch.manual_seed(0)
    ranker = Ranker(store.num_items, size=8)
    torch.nn.init.normal_(ranker.items.ids)
    ranker.save_pretrained(folder / "ranker")
    model = PooledChoice(store.num_items, 1, 4, records_nothing=False)
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    numbers = torch.tensor([int(item) for item in store.catalog["item"]])
    model.bias.data[1:] = CHANCES[numbers - 1].logit()
    UserModel([model]).save_pretrained(folder / "users_a")
    return folder
