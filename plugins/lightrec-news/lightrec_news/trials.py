"""Randomised trials of texts: which of a few, shown to comparable people, is clicked more.

Headlines and subject lines are tested so. Here are these trials as the data of a stage, and the
LightningModule that tunes a text encoder on them.
"""

import math
import sys
from functools import cached_property, partial
from pathlib import Path
from typing import ClassVar, Final, Literal, NamedTuple

import numpy as np
import polars as pl
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from lightrec.api import DataError, Problems, RecipeError, StageData, StageModule
from lightrec.data.files import save_tensors
from lightrec.data.readers.table import TableReader
from lightrec.data.share import part_of_all, present_share
from lightrec.encoders.hub import HEAD
from lightrec.encoders.layers import Layers, LinearMap, Tuned
from lightrec.encoders.text import TextEncoder
from lightrec.nn.stage import warm_cosine

LAYERS_RATE: Final = 3e-4
"""The rate at which layers learn in the stage `text`; other parts learn as many times faster."""
CLEAR: Final = 1.645
"""Click rates differ clearly where their z statistic is above this: p < .1, both sides counted."""
CHUNK: Final = 1024
"""Number of trials that are fitted at once."""
PARTS: Final = ("test", "validation", "train")
_COUNTS: Final = ("shown", "clicked")


class Trials(NamedTuple):
    """Randomised trials, padded to as many arms as the largest has.

    :param texts: (T, A) int64, numbers of the arms' texts, from 1; 0 where there is no arm.
    :param shown: (T, A) float32: how often each arm was shown.
    :param clicked: (T, A) float32: how often it was then clicked.
    """

    texts: Tensor
    shown: Tensor
    clicked: Tensor

    def weights(self, enough: float) -> Tensor:
        """Weight of each trial, (T,): its clicks, as long as they are few.

        Arms differ in other things than texts, too, such as pictures, so that clicks beyond
        ``enough`` say little more: n clicks, shared by A arms, count n / (1 + n / (A · enough)).
        """
        total, arms = self.clicked.sum(1), (self.texts > 0).sum(1)
        return total / (1 + total / (enough * arms))

    def agreement(self, scores: Tensor) -> Tensor:
        """Tell of each pair of arms whose click rates differ clearly whether scores order it alike.

        They do where the z statistic of the two rates, with pooled variance, is above
        :data:`CLEAR`.

        :param scores: (T, A).
        :returns: (P,) float32: 1 or 0, and 0.5 where scores are equal.
        """
        rates, ones = self.clicked / self.shown, 1 / self.shown
        clicked, shown = (x[:, :, None] + x[:, None] for x in (self.clicked, self.shown))
        variance = clicked / shown * (1 - clicked / shown) * (ones[:, :, None] + ones[:, None])
        z = (rates[:, :, None] - rates[:, None]) / variance.sqrt()  # NaN where there is no arm
        return ((scores[:, :, None] - scores[:, None]).sign()[z > CLEAR] + 1) / 2


def ridge(vectors: Tensor, trials: Trials, enough: float, penalty: float) -> Tensor:
    """Fit a linear score of vectors by ridge regression of within-trial click rates.

    It is one Newton step, from a score of 0, on the loss of :class:`TrialModule` with a penalty.

    :param vectors: (D + 1, V).
    :param enough: as in :meth:`Trials.weights`.
    :param penalty: half of it, times the squared norm, is added to the mean loss.
    :returns: (V,) float32.
    """
    size, weights = vectors.shape[1], trials.weights(enough).double()
    curvature, slope = penalty * torch.eye(size).double(), torch.zeros(size).double()
    for rows in torch.arange(len(weights)).split(CHUNK):
        texts, shown, clicked = (part[rows] for part in trials)
        arms, counts = vectors[texts].double(), (weights[rows] / weights.sum())[:, None]
        expected = (shown / shown.sum(1, keepdim=True)).double()
        excess = (clicked / clicked.sum(1, keepdim=True)).double() - expected
        arms = arms - expected[:, None] @ arms
        curvature += torch.einsum("ta,tav,taw->vw", counts * expected, arms, arms)
        slope += torch.einsum("ta,tav->v", counts * excess, arms)
    return torch.linalg.solve(curvature, slope).float()


class TrialData(StageData):
    """Trials from a table with a row for each arm: trial, text, how often shown and clicked.

    Arms of a trial that share a text are summed; trials with one text, or without a click, are left
    out. Test and validation trials are drawn by the seed, and training leaves out trials that share
    a text with one of these.

    :param path: a table in any format that logs may have, such as CSV or Parquet.
    :param text_encoder: what is tuned.
    :param trial: the column that says which rows are compared.
    :param text: the column of texts.
    :param shown: the column that says how often each was shown.
    :param clicked: the column that says how often it was clicked.
    :param validation: share of the trials by which the best epoch is chosen.
    :param test: share of the trials that are only judged.
    :param batch_size: trials in a batch, of all processes together.
    :param seed: of the split and the order.
    :raises RecipeError: where the shares leave nothing.
    """

    def __init__(
        self,
        path: str,
        text_encoder: TextEncoder,
        trial: str = "trial",
        text: str = "text",
        shown: str = "shown",
        clicked: str = "clicked",
        validation: float = 0.1,
        test: float = 0.2,
        batch_size: int = 32,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if min(test, validation) <= 0 or test + validation >= 1:
            raise RecipeError(
                f"`validation` is {validation} and `test` {test}; both are shares above 0, and "
                "together below 1."
            )
        self.path, self.text_encoder = path, text_encoder
        self.columns = {"trial": trial, "text": text, "shown": shown, "clicked": clicked}
        self.shares, self.batch_size, self.seed = (test, validation), batch_size, seed

    @cached_property
    def arms(self) -> pl.DataFrame:
        """Trial, text, shown and clicked of all arms, trial by trial.

        :raises DataError: where columns are missing or values impossible.
        """
        problems, table = Problems(self.path), TableReader().open(Path(self.path))
        for setting, name in self.columns.items():
            if name not in table.names:
                problems.add(
                    f"There is no column '{name}'; there are {table.shown()}. Say which one it is "
                    f"with --data.init_args.{setting} NAME."
                )
        problems.check()
        frame, place = table.read([*self.columns.values()], problems)
        problems.check()
        rows = frame.select(
            *(pl.col(self.columns[n]).cast(pl.String).alias(n) for n in ("trial", "text")),
            *(pl.col(self.columns[n]).cast(pl.Float64, strict=False).alias(n) for n in _COUNTS),
        )
        shown, clicked = map(pl.col, _COUNTS)
        for name, good, expected in (
            ("trial", pl.col("trial") != "", "the name of a trial"),
            ("text", pl.col("text") != "", "a text"),
            ("shown", shown.is_between(0, math.inf, closed="none"), "a number above 0"),
            ("clicked", clicked.is_between(0, shown), "a number from 0 to that of those shown"),
        ):
            bad = ~rows.select(good.fill_null(False)).to_series()
            value = partial(place.value, frame[self.columns[name]], expected=expected)
            problems.add_rows(bad, value)
        problems.check()
        arms = rows.group_by("trial", "text", maintain_order=True).sum()
        whole = (pl.len().over("trial") > 1) & (clicked.sum().over("trial") > 0)
        return arms.filter(whole).sort("trial", maintain_order=True)

    @cached_property
    def texts(self) -> list[str]:
        """D different texts; text number d, from 1, is ``texts[d - 1]``."""
        return self.arms["text"].unique().sort().to_list()

    @property
    def num_items(self) -> int:
        """Number of different texts D."""
        return len(self.texts)

    @cached_property
    def vectors(self) -> Tensor:
        """(D + 1, V) float32, the texts' vectors as the encoder gives them; row 0 zero."""
        return nn.functional.pad(self.text_encoder.encode(self.texts), (0, 0, 1, 0))

    @cached_property
    def parts(self) -> dict[str, Trials]:
        """The trials of ``test``, ``validation`` and ``train``.

        :raises DataError: where one of these has none.
        """
        arms = self.arms.select(pl.col("text").rank("dense").cast(pl.Float64), *_COUNTS)
        sizes = self.arms["trial"].rle().struct.field("len").to_list()
        table = pad_sequence([*torch.from_numpy(arms.to_numpy()).split(sizes)], batch_first=True)
        order = np.random.default_rng(self.seed).permutation(len(table))
        ends = [round(share * len(table)) for share in np.cumsum(self.shares)]
        *held_out, rest = (table[rows] for rows in np.split(order, ends))
        judged = torch.cat(held_out)[..., 0].unique()
        shared = torch.isin(rest[..., 0], judged[judged > 0]).any(1)
        parts = dict[str, Trials]()
        for name, rows in zip(PARTS, (*held_out, rest[~shared]), strict=True):
            if not len(rows):
                raise DataError(
                    f"There are {len(table)} trials with two texts or more and a click, and none "
                    f"is left for {name}: bring more trials, or change the shares held out.",
                    self.path,
                )
            parts[name] = Trials(rows[..., 0].long(), *rows[..., 1:].float().unbind(2))
        return parts

    def train_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        """Batches of trials, in an order that follows from seed and epoch."""
        trials, share = TensorDataset(*self.parts["train"]), present_share()
        order: DistributedSampler[object] = DistributedSampler(
            trials, share.world, share.rank, seed=self.seed
        )
        size = max(self.batch_size // share.world, 1)
        # Its own generator, as in the ranker's data: a resumed run would draw at another moment.
        return DataLoader(trials, size, sampler=order, generator=torch.Generator())

    def val_dataloader(self) -> DataLoader[int]:
        """One batch, which says nothing: the module reads all validation trials at once."""
        return DataLoader([0], batch_size=None)  # type: ignore[arg-type]


class TrialModule(StageModule):
    """Tunes a text encoder, and a linear score of its vectors, on randomised trials.

    The loss is listwise: how likely the clicks of a trial are to fall on its arms as they did, if
    an arm's logit is its score plus the logarithm of how often it was shown. What all arms of a
    trial share, such as topic and time, drops out. The score starts as :func:`ridge` has it.

    :param num_items: linked from the data.
    :param vector_size: linked from the data.
    :param tune: what is tuned, as in :class:`~lightrec.encoders.tuning.TextModule`.
    :param layers: how many layers, from above, are trained or get adapters; null for all.
    :param learning_rate: AdamW's for layers, at its highest; map and score learn faster.
    :param enough: clicks of an arm above which more say little, see :meth:`Trials.weights`.
    :param penalty: of the ridge regression.
    """

    monitor: ClassVar[str] = "validation/accuracy"
    mode: ClassVar[Literal["min", "max"]] = "max"

    def __init__(
        self,
        num_items: int,
        vector_size: int,
        tune: Literal["map", "layers", "lora", "dora", "full"] = "layers",
        layers: int | None = 2,
        learning_rate: float = 5e-5,
        enough: float = 100.0,
        penalty: float = 1e-3,
    ) -> None:
        super().__init__(num_items, vector_size)
        self.save_hyperparameters()
        self.part: Tuned | None = None
        self.head = nn.Parameter(torch.zeros(vector_size))
        """(V,) what makes a score of a vector; higher means more clicks."""

    def setup(self, stage: str) -> None:
        """Make the part that is tuned, and let the score start as the ridge has it."""
        if self.part is not None:
            return
        data, how = self.data_of(TrialData), self.settings
        self.frozen = ridge(data.vectors, data.parts["train"], how.enough, how.penalty)
        self.head.data.copy_(self.frozen)
        if how.tune == "map":
            self.part = LinearMap(self.vector_size)
            self.part.frozen = data.vectors
        else:
            self.part = Layers(data.text_encoder, data.texts, how.tune, how.layers)
        self.part.to(self.device)

    def scores(self, texts: Tensor) -> Tensor:
        """Score texts by number, (T, A) int64; 0 where there is none."""
        assert self.part is not None
        scores = self.part(texts[texts > 0]).float() @ self.head
        return torch.zeros(texts.shape, device=scores.device).masked_scatter(texts > 0, scores)

    def loss(self, trials: Trials) -> Tensor:
        """Weighted mean over trials of a click's negative log-likelihood, a scalar."""
        logits = self.scores(trials.texts) + trials.shown.log()
        likely = logits.log_softmax(1).masked_fill(trials.texts == 0, 0.0)
        each = (trials.clicked * likely).sum(1) / trials.clicked.sum(1)
        weights = trials.weights(self.settings.enough)
        return -(weights * each).sum() / weights.sum()

    def training_step(self, batch: tuple[Tensor, ...], batch_index: int) -> Tensor:
        """The loss, whose mean over the epoch is logged."""
        trials = Trials(*batch)
        loss, size = self.loss(trials), len(trials.texts)
        self.log("train/loss", loss, batch_size=size, on_step=False, on_epoch=True, sync_dist=True)
        return loss * part_of_all(trials.weights(self.settings.enough).sum())

    def validation_step(self, batch: object, batch_index: int) -> None:
        """Log the share of clear pairs of validation trials that scores order as clicks do."""
        share = self._agreement("validation").mean()
        self.log(self.monitor, share, batch_size=1, sync_dist=True)

    def _agreement(self, part: str) -> Tensor:
        trials = self.data_of(TrialData).parts[part]
        return trials.agreement(self.scores(trials.texts.to(self.device)).cpu())

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW; map and score learn as many times faster than layers as they do by default."""
        assert self.part is not None
        rate = self.settings.learning_rate * self.part.learning_rate / LAYERS_RATE
        groups = self.part.groups(rate)
        groups.append({**groups[-1], "params": [self.head]})
        optimizer = torch.optim.AdamW(groups, lr=rate, weight_decay=0.0, fused=True)
        return self.scheduled(optimizer, warm_cosine)

    @torch.no_grad()
    def write(self, folder: Path) -> dict[str, float]:
        """Write tuned encoder and score, and how they and the frozen ridge order held-out pairs."""
        assert self.part is not None
        data, metrics = self.data_of(TrialData), dict[str, float]()
        self.eval()
        for name in ("validation", "test"):
            trials, tuned = data.parts[name], self._agreement(name)
            frozen = trials.agreement((data.vectors @ self.frozen)[trials.texts])
            metrics[f"{name}/pairs"] = len(tuned)
            metrics[f"{name}/frozen/accuracy"] = frozen.mean().item()
            metrics[f"{name}/tuned/accuracy"] = tuned.mean().item()
        tested = [f"{metrics[f'test/{name}/accuracy']:.3f} {name}" for name in ("frozen", "tuned")]
        said = f"{' and '.join(tested)}, of {len(tuned)} clear pairs of test trials"
        noted = {"tuned": self.settings.tune, "ordered as by clicks": said}
        self.part.save(data.text_encoder, folder, noted)
        save_tensors({"head": self.head.detach().cpu()}, folder / HEAD)
        print(f"Ordered as by clicks: {said}.", file=sys.stderr)
        return metrics
