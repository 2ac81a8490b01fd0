"""What is served has learned from all events; what is judged has not."""

import numpy as np
import torch

from lightrec.data.store import COLD, CONTEXT, TEST, TRAIN, VALIDATION
from lightrec.run import Run


def test_nothing_is_held_out_of_the_whole_log(tiny_run):
    store = Run(tiny_run).data
    whole = store.whole
    assert {*np.asarray(store.parts).tolist()} >= {TRAIN, VALIDATION, TEST}
    assert not np.isin(whole.parts, (VALIDATION, TEST, COLD)).any()
    held_out = np.isin(store.parts, (VALIDATION, TEST))
    assert (whole.parts[held_out] == TRAIN).all()
    assert (whole.parts[np.asarray(store.parts) == CONTEXT] == CONTEXT).all()
    assert whole.popularity().sum() == store.popularity().sum() + held_out.sum()


def test_what_is_served_goes_on_from_what_was_judged_with_all_events(tiny_run):
    run = Run(tiny_run)
    assert run.served.weights == run.blend.weights
    served, judged = (each.ranker.item_vectors() for each in (run.served, run.blend))
    assert torch.cosine_similarity(served[1:], judged[1:]).mean() > 0.9
    assert not torch.equal(served, judged)
