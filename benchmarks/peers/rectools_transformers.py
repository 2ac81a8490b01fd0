"""RecTools' transformers in their own Lightning loop, run by the Python of RecTools' environment.

``sasrec`` is ``SASRecModel`` with the library's defaults (softmax over all items, 4 heads, dropout
.2, Adam at 0.001, batches of 128). ``esasrec`` is what its authors recommend over it: LiGR layers
and a sampled softmax with 256 negatives. ``bert4rec`` is ``BERT4RecModel`` with its defaults.
Width, layers and length are the benchmark's, but for ``paper``: the SASRec of the authors' own
comparison on Amazon's logs (RecSys 2025).
"""

import sys

import pandas as pd
import pytorch_lightning
import torch
from protocol import CAP, TRAINER, Course, Split, last
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import BERT4RecModel, SASRecModel
from rectools.models.nn.transformers.ligr import LiGRLayers

SETTINGS = {"n_factors": 64, "n_blocks": 2}
MODELS = {
    "sasrec": (SASRecModel, {}),
    "esasrec": (
        SASRecModel,
        {"transformer_layers_type": LiGRLayers, "loss": "sampled_softmax", "n_negatives": 256},
    ),
    "bert4rec": (BERT4RecModel, {}),
    "paper": (
        SASRecModel,
        {"n_factors": 256, "n_blocks": 1, "n_heads": 1, "dropout_rate": 0.2, "session_max_len": 50}
        | {"loss": "sampled_softmax", "n_negatives": 256, "lr": 0.001, "batch_size": 128},
    ),
}


class Judge(pytorch_lightning.Callback):
    """Validates after each epoch, with the clock stopped."""

    def __init__(self, course: Course, mask: bool, length: int) -> None:
        self.course, self.mask, self.length = course, mask, length

    def on_train_epoch_end(self, trainer, module) -> None:
        self.course.pause()
        module.eval()
        network, names = module.torch_model, module.data_preparator
        known = torch.as_tensor(names.get_known_item_ids().astype(int))
        inside = torch.zeros(self.course.split.num_items, dtype=torch.int64)
        inside[known] = torch.as_tensor(names.get_known_items_sorted_internal_ids())

        def score(users, histories):
            # An item that stands in no session of training has no vector; it is ranked last.
            kept = [items[inside[items].numpy() > 0] for items in histories]
            rows = last(kept, self.length, -1)
            sessions = inside[rows] * (rows >= 0)
            if self.mask:
                blank = torch.full((len(sessions), 1), names.extra_token_ids["MASK"])
                sessions = torch.cat([sessions[:, 1:], blank], dim=1)
            with torch.no_grad():
                table = network.item_model.get_all_embeddings()
                states = network.encode_sessions({"x": sessions}, table)[:, -1]
                scores = states @ table[inside].T
            return scores.masked_fill(inside == 0, -torch.inf).numpy()

        trainer.should_stop = self.course.epoch(score)
        module.train()


def main(path: str, out: str, seed: str, name: str, cap: str = CAP, length: str = "100") -> None:
    """Train and write what was found."""
    torch.set_num_threads(1)
    pytorch_lightning.seed_everything(int(seed))
    split, (model_class, settings) = Split(path), MODELS[name]
    settings = SETTINGS | {"session_max_len": int(length)} | settings
    course = Course(split, max_cpu_seconds=float(cap))
    table = pd.DataFrame(
        {
            Columns.User: split.users,
            Columns.Item: split.items,
            Columns.Weight: 1.0,
            # The events' order within a user, as times: equal times are in the file's order.
            Columns.Datetime: pd.to_datetime(range(len(split.items)), unit="s"),
        }
    )

    def trainer() -> pytorch_lightning.Trainer:
        return pytorch_lightning.Trainer(
            max_epochs=course.max_epochs,
            callbacks=[Judge(course, name == "bert4rec", settings["session_max_len"])],
            **TRAINER,
        )

    dataset = Dataset.construct(table)
    course.start()
    model = model_class(**settings, get_trainer_func=trainer)
    # The library copies its trainer; the course must stay the one that is written.
    Judge.__deepcopy__ = lambda self, memo: self
    model.fit(dataset)
    used = {k: getattr(v, "__name__", v) for k, v in settings.items()}
    used |= {n: getattr(model, n) for n in ("n_heads", "dropout_rate", "loss", "lr", "batch_size")}
    course.write(out, used, ["rectools", "pytorch-lightning", "torch", "numpy"])


if __name__ == "__main__":
    main(*sys.argv[1:])
