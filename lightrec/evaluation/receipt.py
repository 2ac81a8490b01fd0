"""The receipt of a run: all that its figures depend on, so that two runs are compared or refused.

Two runs may be compared where their receipts have the same ``log``, ``split`` and ``protocol``.
"""

import hashlib
from typing import Any, Final

import numpy as np

from lightrec.data.store import TEST, EventStore
from lightrec.ranking.metrics import CUTOFFS
from lightrec.run import Run

RECEIPT: Final = "receipt.json"
FORMULAS: Final = {
    "rank": "1 + items scored higher + half the other items scored the same; infinite where the "
    "item may not be shown",
    "ndcg@k": "mean over test events of 1 / log2(1 + rank) where rank <= k, else 0",
    "recall@k": "share of test events with rank <= k",
    "mrr@k": "mean over test events of 1 / rank where rank <= k, else 0",
    "interval": "95 %, percentiles of 2,000 bootstrap samples of users",
}
QUOTED: Final = ("command", "seed", "lightrec", "fingerprint")
"""What is quoted of a stage's stamp."""
COMPARED: Final = ("log", "split", "protocol")


def receipt(run: Run) -> dict[str, Any]:
    """Write down what a run's figures on the held-out log depend on.

    :returns: plain values by ``log``, ``split``, ``protocol``, ``metrics``, ``stages``.
    :raises RunError: where the run has no data stage.
    """
    store, stages = run.data, {}
    for name in ("data", "text", "ranker", "users_a", "users_b", "policy"):
        if run.has(name):
            made = run.stamp(name)
            stages[name] = {key: made[key] for key in QUOTED if key in made}
    return {
        "log": {
            "events": len(store.items),
            "users": len(store.user_ids),
            "items": store.num_items,
            "hash": _hash(store, store.items, store.offsets, store.times),
        },
        "split": {
            "how": store.meta["settings"]["split"],
            "test events": len(store.events(TEST)),
            "hash": _hash(store, store.parts),
        },
        "protocol": {
            "candidates": "all items of the log",
            "items already seen": "ranked" if store.repeats else "left out",
            "what the domain forbids": run.domain.name if run.domain.restricts else "nothing",
            "ties": "mean rank",
            "cutoffs": [*CUTOFFS],
        },
        "metrics": FORMULAS,
        "stages": stages,
    }


def _hash(store: EventStore, *arrays: np.ndarray[Any, Any]) -> str:
    """Hash arrays of events next to the names of users and items, which number them."""
    mark = hashlib.blake2b(digest_size=16)
    for names in (store.user_ids, store.catalog["item"]):
        mark.update("\n".join(map(str, names.to_list())).encode())
    for array in arrays:
        mark.update(np.ascontiguousarray(array).tobytes())
    return mark.hexdigest()
