"""Parts that raise an error when they are called."""

import json

from lightrec.evaluation.base import Evaluator, Findings, Table
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
