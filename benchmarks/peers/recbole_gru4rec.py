"""RecBole's GRU4Rec in its own training loop, run by the Python of RecBole's environment.

The library's defaults (cross-entropy, dropout .3, Adam at 0.001, batches of 2,048 histories, one
for every training event) but for the benchmark's width, layers and length. An epoch takes long, so
that training is cut early: what counts here is the CPU seconds of an epoch.
"""

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from protocol import CAP, Course, Split, last
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.data.interaction import Interaction
from recbole.model.sequential_recommender import GRU4Rec
from recbole.trainer import Trainer
from recbole.utils import init_seed

LENGTH = 100
SETTINGS = {"embedding_size": 64, "hidden_size": 64, "num_layers": 2}
SETTINGS |= {"MAX_ITEM_LIST_LENGTH": LENGTH, "loss_type": "CE"}


def write_log(split: Split, folder: Path) -> None:
    """Write all events as RecBole reads them, their order as time."""
    users = [*split.users, *range(split.num_users), *range(split.num_users)]
    items = [*split.items, *split.validation, *split.test]
    folder.mkdir()
    lines = ["user_id:token\titem_id:token\ttimestamp:float"]
    lines += [f"{u}\t{i}\t{t}" for t, (u, i) in enumerate(zip(users, items, strict=True)) if i >= 0]
    (folder / "log.inter").write_text("\n".join(lines) + "\n")


def main(path: str, out: str, seed: str, cap: str = CAP) -> None:
    """Train and write what was found."""
    torch.set_num_threads(1)
    path, out = Path(path).absolute(), Path(out).absolute()
    split = Split(path)
    course = Course(split, max_cpu_seconds=min(float(cap), 280))
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # RecBole leaves its logs where it is run.
        write_log(split, Path(folder) / "log")
        chosen = SETTINGS | {
            "data_path": folder,
            "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
            "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "mode": "full"},
            "train_neg_sample_args": None,
            "epochs": 1,
            "seed": int(seed),
            "use_gpu": False,
            "show_progress": False,
            "state": "WARNING",
        }
        config = Config(model="GRU4Rec", dataset="log", config_dict=chosen)
        init_seed(config["seed"], config["reproducibility"])
        dataset = create_dataset(config)
        train, _, _ = data_preparation(config, dataset)
        if len(train.dataset) != len(split.items) - split.num_users:
            raise ValueError("RecBole made another split than lightrec.")
        tokens = [str(item) for item in range(split.num_items)]
        inside = torch.as_tensor(np.asarray(dataset.token2id("item_id", tokens)))
        course.start()
        model = GRU4Rec(config, dataset)
        trainer = Trainer(config, model)

        def score(users, histories):
            # It reads histories from the left: padding stands behind them.
            items = last(histories, LENGTH, -1)
            rows = [inside[row[row >= 0]] for row in items]
            table = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
            table = torch.nn.functional.pad(table, (0, LENGTH - table.shape[1]))
            lengths = torch.tensor([len(row) for row in rows])
            batch = Interaction({model.ITEM_SEQ: table, model.ITEM_SEQ_LEN: lengths})
            with torch.no_grad():
                return model.full_sort_predict(batch)[:, inside].numpy()

        ended = False
        while not ended:
            trainer.fit(train, saved=False, verbose=False)
            model.eval()
            ended = course.epoch(score)
            model.train()
        os.chdir("/")
    course.write(out, SETTINGS, ["recbole", "torch", "numpy", "scipy", "pandas"])


if __name__ == "__main__":
    main(*sys.argv[1:])
