"""What the stage users_a notes of its data is enough to make the same states and offers again."""

import torch

from lightrec.users.choice_data import ChoiceData
from lightrec.users.module import offers
from lightrec.users.user_model import UserModel


def test_the_noted_settings_give_the_same_offers(tiny_run):
    noted = UserModel.load(tiny_run / "users_a").offers
    assert noted["half"] == "a"
    again = ChoiceData(str(tiny_run / "data"), **noted)
    same = ChoiceData(str(tiny_run / "data"), **noted, ranker=str(tiny_run / "ranker"))
    for left, right in zip(offers(again, None), offers(same, None), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(left, right, strict=True))
