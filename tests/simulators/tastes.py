"""Users who accept each item, shown alone, with a chance of its own, whoever they are."""

import torch

from lightrec.simulators.user_model import LogStarts
from lightrec.users.choice_model import PooledChoice
from lightrec.users.user_model import UserModel


def fixed_tastes(chances):
    sizes = {"pools": 1, "feature_size": 2, "hidden_size": 2}
    model = PooledChoice(len(chances), 1, 4, records_nothing=False, **sizes)
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    model.bias.data[1:] = torch.as_tensor(chances).logit()
    return UserModel([model.requires_grad_(False).eval()])


def starts_of(histories, **settings):
    counts = torch.tensor([0, *map(len, histories)])
    items = torch.tensor([item for history in histories for item in history], dtype=torch.int64)
    return LogStarts(counts.cumsum(0), items, **settings)
