"""One cell of the benchmark `irl`: a learner, a log of the world `far`, and the truth beside it."""

import argparse
import json
import math
import tempfile
from functools import partial
from pathlib import Path

import lightning.pytorch as pl
import torch
from lightrec_lab.irl import ClickClassifier, IQLearn, RewardWeightedLikelihood, TasteMixture
from torch import Tensor, nn

from benchmarks.irl_logs import FRESH, LABELS, laws, prepared
from benchmarks.irl_plan import planned_return
from lightrec.evaluation.user_models import spearman_within_sets
from lightrec.simulators.worlds.far_log import HeldOut
from lightrec.users.choice_data import ChoiceData
from lightrec.users.choice_model import PooledChoice
from lightrec.users.irl import MaxEnt, RewardLearner
from lightrec.users.module import ChoiceModule
from lightrec.users.reward_model import RewardModel
from lightrec.users.user_model import UserModel

MODEL = {"feature_size": 32, "hidden_size": 64, "identity_size": 0}
TRAINING = {"learning_rate": 2e-3, "weight_decay": 1e-4}
EPOCHS = {25_000: 1, 10_000: 8, 1_000: 15}
"""By sessions; 25,000 sessions are a million events."""
BATCH = 512
DISCOUNT = 0.9
LEARNERS: dict[str, tuple[RewardLearner | None, float] | None] = {
    "popularity": None,
    "supervised": None,
    "cloning": (MaxEnt(anchored=False), 0.0),
    "click-classifier": (ClickClassifier(), 0.0),
    "reward-weighted": (RewardWeightedLikelihood(), 0.0),
    "logit": (None, 0.0),
    "two-step": (None, DISCOUNT),
    "maxent": (MaxEnt(), DISCOUNT),
    "maxent-free-nothing": (MaxEnt(anchored=False), DISCOUNT),
    "iq-learn": (IQLearn(), DISCOUNT),
    "iq-learn-no-anchor": (IQLearn(anchor=0.0), DISCOUNT),
    "mixture": (TasteMixture(), DISCOUNT),
}
"""Learner, null for what is read off the choice model, and γ; null for what is no learner."""
PLANNED = ("supervised", "logit", "two-step", "maxent")


class Popularity(nn.Module):
    """How often an item was chosen, taken for a reward."""

    def __init__(self, counts: Tensor) -> None:
        super().__init__()
        self.counts = counts

    def reward(self, history: Tensor, items: Tensor, user: Tensor | None = None) -> Tensor:
        """Give the counts of items."""
        return self.counts[items]


def supervise(data: ChoiceData, labels: HeldOut, epochs: int, seed: int) -> RewardModel:
    """Fit the network of all learners to the true rewards of the training states."""
    torch.manual_seed(seed)
    model = PooledChoice(data.num_items, data.vector_size, data.history_length, **MODEL)
    model.set_items(data.vectors)
    rows, generator = len(labels.history), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(
        model.parameters(), TRAINING["learning_rate"], weight_decay=TRAINING["weight_decay"]
    )
    steps = epochs * -(-rows // BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min(1, 10 * (step + 1) / steps) * (1 + math.cos(math.pi * step / steps)) / 2,
    )
    for _ in range(epochs):
        for batch in torch.randperm(rows, generator=generator).split(BATCH):
            found = model.utilities(model.state(labels.history[batch]), labels.candidates[batch])
            error = (found - labels.reward[batch]).square().mean() / 2
            loss = error + model.bias.square().sum() / (2 * rows)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return RewardModel(model.eval())


def learn(
    data: ChoiceData, learner: RewardLearner | None, discount: float, epochs: int, seed: int
) -> tuple[nn.Module, dict[str, float]]:
    """Train the module of the stage users_a as a recipe would."""
    torch.manual_seed(seed)
    module = ChoiceModule(
        data.num_items,
        data.vector_size,
        discount=discount,
        leave_rate=0.0,
        learner=learner,
        use_popularity=False,
        model=partial(PooledChoice, **MODEL),
        **TRAINING,
    )
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        gradient_clip_val=1.0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, data)
    if learner is not None:
        kept = "validation/learner/log_likelihood"
    else:
        kept = "validation/log_likelihood"
    metrics = {"log_likelihood": float(trainer.callback_metrics[kept])}
    with tempfile.TemporaryDirectory() as folder:
        module.write(Path(folder))
        return UserModel.load(folder), metrics


@torch.inference_mode()
def judge(model: nn.Module, truth: HeldOut) -> dict[str, float]:
    """Order within offers, and the true reward of what the learned one likes best."""
    found = model.reward(truth.history, truth.candidates)
    best = found.argmax(1, keepdim=True)
    return {
        "spearman": spearman_within_sets(found, truth.reward),
        "greedy": float(truth.reward.gather(1, best).mean()),
    }


def main() -> None:
    """Learn, judge and write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("logs", type=Path)
    parser.add_argument("world")
    parser.add_argument("sessions", type=int)
    parser.add_argument("learner", choices=LEARNERS)
    parser.add_argument("seed", type=int)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    folder = prepared(chosen.logs, chosen.world, chosen.sessions, chosen.seed)
    data = ChoiceData(
        str(folder / "data"),
        ranker=str(folder / "ranker"),
        batch_size=BATCH,
        max_train=None,
        seed=chosen.seed,
    )
    epochs, metrics = EPOCHS[chosen.sessions], {}
    way = LEARNERS[chosen.learner]
    if way is not None:
        model, metrics = learn(data, *way, epochs, chosen.seed)
    elif chosen.learner == "supervised":
        model = supervise(data, HeldOut.load(folder / LABELS), epochs, chosen.seed)
    else:
        model = Popularity(data.log_popularity)
    metrics |= judge(model, HeldOut.load(folder / FRESH))
    if chosen.world == "far" and chosen.sessions == 10_000 and chosen.learner in PLANNED:
        metrics["planned"] = planned_return(
            model, data, laws(chosen.world, chosen.seed), chosen.seed
        )
    chosen.out.write_text(json.dumps(metrics))


if __name__ == "__main__":
    main()
