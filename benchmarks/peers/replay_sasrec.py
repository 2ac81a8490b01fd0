"""RePlay's SASRec in its own Lightning loop, run by the Python of RePlay's environment.

As the library's documentation sets it up: ``SasRec.from_params`` (cross-entropy over all items,
4 heads, dropout .3), Adam at 0.001 and ParquetModule with batches of 64, which reads the last
events of each user; width, layers and length are the benchmark's.
"""

import sys
import tempfile
from pathlib import Path

import lightning
import pandas as pd
import torch
from protocol import CAP, TRAINER, Course, Split, last
from replay.data import FeatureHint, FeatureSource, FeatureType
from replay.data.nn import ParquetModule, TensorFeatureInfo, TensorFeatureSource, TensorSchema
from replay.nn.lightning import LightningModule
from replay.nn.lightning.optimizer import OptimizerFactory
from replay.nn.sequential import SasRec
from replay.nn.transform.template import make_default_sasrec_transforms

SETTINGS = {"size": 64, "layers": 2, "heads": 4, "dropout": 0.3}
SETTINGS |= {"loss": "cross-entropy", "learning_rate": 0.001, "batch_size": 64}


class Judge(lightning.Callback):
    """Validates after each epoch, with the clock stopped."""

    def __init__(self, course: Course, length: int) -> None:
        self.course, self.padding, self.length = course, course.split.num_items, length

    def on_train_epoch_end(self, trainer, module) -> None:
        module.eval()

        def score(users, histories):
            items = torch.from_numpy(last(histories, self.length, self.padding))
            batch = {"feature_tensors": {"item_id": items}, "padding_mask": items != self.padding}
            with torch.no_grad():
                return module(batch)["logits"].numpy()

        trainer.should_stop = self.course.epoch(score)
        module.train()


def main(path: str, out: str, seed: str, cap: str = CAP, length: str = "100") -> None:
    """Train and write what was found."""
    long = int(length)
    torch.set_num_threads(1)
    lightning.seed_everything(int(seed))
    split = Split(path)
    source = TensorFeatureSource(FeatureSource.INTERACTIONS, "item_id")
    schema = TensorSchema(
        TensorFeatureInfo(
            "item_id",
            is_seq=True,
            feature_type=FeatureType.CATEGORICAL,
            embedding_dim=SETTINGS["size"],
            padding_value=split.num_items,
            cardinality=split.num_items,
            feature_hint=FeatureHint.ITEM_ID,
            feature_sources=[source],
        )
    )
    with tempfile.TemporaryDirectory() as folder:
        table = pd.DataFrame({"item_id": split.train})
        table.to_parquet(Path(folder) / "train.parquet")
        course = Course(split, max_cpu_seconds=float(cap))
        course.start()
        data = ParquetModule(
            batch_size=SETTINGS["batch_size"],
            metadata={"train": {"item_id": {"shape": long + 1, "padding": split.num_items}}},
            transforms=make_default_sasrec_transforms(schema),
            train_path=str(Path(folder) / "train.parquet"),
        )
        model = SasRec.from_params(
            schema,
            embedding_dim=SETTINGS["size"],
            num_heads=SETTINGS["heads"],
            num_blocks=SETTINGS["layers"],
            max_sequence_length=long,
            dropout=SETTINGS["dropout"],
        )
        trainer = lightning.Trainer(
            max_epochs=course.max_epochs,
            callbacks=[Judge(course, long)],
            limit_val_batches=0,
            **TRAINER,
        )
        module = LightningModule(model, OptimizerFactory(learning_rate=SETTINGS["learning_rate"]))
        trainer.fit(module, datamodule=data)
    course.write(
        out, SETTINGS | {"max_length": long}, ["replay-rec", "lightning", "torch", "numpy"]
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
