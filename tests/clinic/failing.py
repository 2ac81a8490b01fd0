"""Parts that raise an error when they are called."""

import json

from lightrec.evaluation.base import Evaluator, Findings, Table
from lightrec.evaluation.named_policies import PolicyMaker
from lightrec.learners.algorithms import BehaviorCloning
from lightrec.nn.stage import AfterTraining
from lightrec.ranking.item_models.base import ItemModel
from lightrec.ranking.losses import RankingLoss


class FailingLoss(RankingLoss):
    """A ranking loss."""

    def forward(self, ranker, states, target, seen):
        return json.loads("{")


class FailingModel(ItemModel):
    """An item model."""

    def fit(self, evidence):
        return json.loads("{")

    def scores(self, histories, users=None, *, details=None):
        raise NotImplementedError


class Ragged(Evaluator):
    """Sets a table of which a row lacks a cell."""

    def evaluate(self, run, seed):
        Table(["ages", "users"], [["under 18"]])
        return Findings({})


class Overwriting(AfterTraining):
    """Adds a metric that the stage has."""

    def add(self, module, data, folder, logs):
        return {"validation/ndcg@10": 1.0}


class FailingLearner(BehaviorCloning):
    """A learner, which asks for an attribute that is not there."""

    def make_loss(self, **settings):
        return self.no_such_thing


class FailingMaker(PolicyMaker):
    """A maker of policies."""

    def policy(self, simulator, users, run=None):
        return json.loads("{")


class FailingRules:
    """Standing rules of lists."""

    def __init__(self, folder, find, people):
        self.path = folder

    def of(self, items, kinds):
        return json.loads("{")
