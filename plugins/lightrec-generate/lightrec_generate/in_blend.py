"""A generator's probabilities as one more part of the ranker's blend."""

import json
from io import BytesIO
from typing import Self

import numpy as np
import torch
from torch import Tensor

from lightrec.api import Details, Evidence, ItemModel, RecipeError, Run
from lightrec.trust import built
from lightrec_generate.generator import Generator


class GeneratorShares(ItemModel):
    """Scores an item by the probability with which a trained generator writes it.

    The blend keeps a copy of the generator, and needs the other run no more.

    :param generator: folder of a run with the stage ``generator``, such as
        ``runs/generator-alone``: of the same log, and split alike.
    """

    saved: Tensor
    """``(S,)`` uint8: the generator's description and weights."""

    def __init__(self, generator: str) -> None:
        super().__init__()
        self.generator = generator
        self._made: list[Generator] = []  # not a submodule: a blend saves buffers alone

    def fit(self, evidence: Evidence) -> Self:
        """Take the generator up.

        :raises RecipeError: where it has learned from other events than those that are given.
        """
        run = Run(self.generator)
        run.check("generator")
        made = Generator.load(run.folder("generator"))
        train = np.bincount(evidence.log.items, minlength=evidence.num_items + 1)
        if not np.array_equal(train, made.counts.numpy()):
            raise RecipeError(
                f"The generator of {self.generator} has learned from {made.counts.sum():,.0f} "
                f"events of {made.num_items:,} items, and this log's training events are "
                f"{train.sum():,} of {evidence.num_items:,} items, or others: a generator that has "
                "seen what it is judged by would be believed too much. Train it on the same log, "
                "with the same settings of the stage data."
            )
        file = BytesIO()
        torch.save({"made": json.dumps(made.description), "state": made.state_dict()}, file)
        self.register_buffer(
            "saved", torch.frombuffer(bytearray(file.getvalue()), dtype=torch.uint8)
        )
        self._made = []
        return self

    @torch.no_grad()
    def scores(
        self, histories: Tensor, users: Tensor | None = None, *, details: Details = None
    ) -> Tensor:
        """Probabilities (B, N + 1); a history's last item is its last one at the right."""
        if not self._made:
            content = torch.load(BytesIO(self.saved.cpu().numpy().tobytes()), weights_only=True)
            made = built(json.loads(content["made"]), Generator)
            made.load_state_dict(content["state"])
            self._made.append(made.requires_grad_(False).eval())
        return self._made[0].to(histories.device).scores(histories).exp()
