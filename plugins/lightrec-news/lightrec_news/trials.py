"""Randomised trials of texts: which of a few, shown to comparable people, is clicked more.

Headlines and subject lines are tested so. Here are these trials as a table has them, and the score
of texts that is fitted to them.
"""

import math
from functools import cached_property, partial
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import polars as pl
import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence

from lightrec.api import DataError, Encoder, Problems, RecipeError
from lightrec.data.readers.table import TableReader
from lightrec.encoders.text import TextEncoder

CLEAR: Final = 1.645
"""Click rates differ clearly where their z statistic is above this: p < .1, both sides counted."""
LAYERS: Final = 4
"""Number of a model's upper layers whose states are read: how a text is put, by which people decide
what to click, stands below the last one, which says what it is about."""
CHUNK: Final = 1024
"""Number of trials that are fitted at once."""
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


def ridge(vectors: Tensor, trials: Trials, enough: float = 100.0, penalty: float = 1e-3) -> Tensor:
    """Fit a linear score of vectors by ridge regression of within-trial click rates.

    It is one Newton step, from a score of 0, on the likelihood of how a trial's clicks fall on its
    arms, if an arm's logit is its score plus the logarithm of how often it was shown. What all arms
    of a trial share, such as topic and time, drops out.

    :param vectors: (D + 1, V).
    :param enough: as in :meth:`Trials.weights`.
    :param penalty: half of it, times the squared norm, is added to the mean loss.
    :returns: (V,) float32; a higher score means more clicks, and the difference of two scores is
        the logarithm of the ratio of their click rates.
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


class TrialData:
    """Trials from a table with a row for each arm: trial, text, how often shown and clicked.

    Arms of a trial that share a text are summed; trials with one text, or without a click, are left
    out. Test trials are drawn by the seed, and training leaves out trials that share a text with
    one of these.

    :param path: a table in any format that logs may have, such as CSV or Parquet.
    :param text_encoder: puts texts into vectors; None: the states of the upper
        four layers of the usual model.
    :param trial: the column that says which rows are compared.
    :param text: the column of texts.
    :param shown: the column that says how often each was shown.
    :param clicked: the column that says how often it was clicked.
    :param test: share of the trials that are only judged.
    :param seed: of the split.
    :raises RecipeError: where the share leaves nothing.
    """

    def __init__(
        self,
        path: str,
        text_encoder: Encoder | None = None,
        trial: str = "trial",
        text: str = "text",
        shown: str = "shown",
        clicked: str = "clicked",
        test: float = 0.2,
        seed: int = 0,
    ) -> None:
        if not 0 < test < 1:
            raise RecipeError(f"`test` is {test}; it is a share, above 0 and below 1.")
        self.path, self.test, self.seed = path, test, seed
        self.text_encoder: Encoder = text_encoder or TextEncoder(layers=LAYERS)
        self.columns = {"trial": trial, "text": text, "shown": shown, "clicked": clicked}

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
                    f"with the argument {setting}."
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

    @cached_property
    def vectors(self) -> Tensor:
        """(D + 1, V) float32, the texts' vectors as the encoder gives them; row 0 zero."""
        return pad(self.text_encoder.encode(self.texts), (0, 0, 1, 0))

    @cached_property
    def parts(self) -> dict[str, Trials]:
        """The trials of ``test`` and ``train``.

        :raises DataError: where one of these has none.
        """
        arms = self.arms.select(pl.col("text").rank("dense").cast(pl.Float64), *_COUNTS)
        sizes = self.arms["trial"].rle().struct.field("len").to_list()
        table = pad_sequence([*torch.from_numpy(arms.to_numpy()).split(sizes)], batch_first=True)
        order = np.random.default_rng(self.seed).permutation(len(table))
        test, rest = (table[rows] for rows in np.split(order, [round(self.test * len(table))]))
        judged = test[..., 0].unique()
        shared = torch.isin(rest[..., 0], judged[judged > 0]).any(1)
        parts = dict[str, Trials]()
        for name, rows in {"test": test, "train": rest[~shared]}.items():
            if not len(rows):
                raise DataError(
                    f"There are {len(table)} trials with two texts or more and a click, and none "
                    f"is left for {name}: bring more trials, or change the share held out.",
                    self.path,
                )
            parts[name] = Trials(rows[..., 0].long(), *rows[..., 1:].float().unbind(2))
        return parts
