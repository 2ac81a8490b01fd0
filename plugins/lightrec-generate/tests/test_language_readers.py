"""A decoder: what of it is trained, and what is saved."""

import torch
from lightrec_generate.language_readers import Decoder


def test_what_is_frozen_stays_bit_for_bit_and_what_is_trained_is_all_that_is_saved(decoder):
    reader, tokens = Decoder(decoder).eval(), torch.arange(1, 11).view(2, 5)
    before = {name: p.detach().clone() for name, p in reader.named_parameters()}
    trained = {name for name, p in reader.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(reader.parameters(), lr=0.1)
    for _ in range(2):  # what adapters are multiplied by starts at 0
        optimizer.zero_grad()
        reader.base(tokens).logits.log_softmax(-1)[..., 0].sum().backward()
        optimizer.step()
    changed = {n for n, p in reader.named_parameters() if not torch.equal(p, before[n])}
    assert changed <= trained
    assert len(changed) > 0.7 * len(trained)
    state = reader.state_dict()
    assert set(state) == trained
    loaded = Decoder(decoder).eval()
    # Files of decoders that re-ranked hold a weight besides.
    loaded.load_state_dict({**state, "weight": torch.ones(())})
    with torch.no_grad():
        assert torch.equal(loaded.base(tokens).logits, reader.base(tokens).logits)
