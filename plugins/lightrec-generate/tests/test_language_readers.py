"""A decoder: what it says against whole sequences, and what it keeps."""

import pytest
import torch
from lightrec_generate.language_readers import Decoder

HISTORIES = [["a red lamp", "tea of rope"], [], ["song"]]
CANDIDATES = [
    ["song", "lamp", "tea"],
    ["red", "a of", "rope and song and"],
    ["of", "tea a tea", ""],
]


@pytest.fixture
def reader(decoder):
    return Decoder(decoder).eval()


def test_a_decoder_says_of_lines_what_it_says_of_whole_sequences(reader):
    cut = lambda text: reader.tokenizer(text, add_special_tokens=False)["input_ids"]  # noqa: E731
    with torch.no_grad():
        scores = reader(HISTORIES, CANDIDATES)
        for row, history in enumerate(HISTORIES):
            before = [reader.start]
            for item in history:
                before += [*cut(item), reader.newline]
            before += [] if history else [reader.newline]
            for column, item in enumerate(CANDIDATES[row]):
                line = [*cut(item), reader.newline]
                whole = torch.tensor([before + line])
                likely = reader.base(whole).logits[0].log_softmax(-1)[len(before) - 1 : -1]
                likely = likely.gather(1, torch.tensor(line)[:, None])
                torch.testing.assert_close(scores[row, column], likely.mean())


def test_what_is_frozen_stays_bit_for_bit_and_what_is_trained_is_all_that_is_saved(reader, decoder):
    before = {name: p.detach().clone() for name, p in reader.named_parameters()}
    trained = {name for name, p in reader.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(reader.parameters(), lr=0.1)
    for _ in range(2):  # what adapters are multiplied by starts at 0
        optimizer.zero_grad()
        scores = reader(HISTORIES, CANDIDATES)
        (scores.logsumexp(1) - scores[:, 0]).sum().backward()
        optimizer.step()
    changed = {n for n, p in reader.named_parameters() if not torch.equal(p, before[n])}
    # What looks for the keys of one line's tokens alone does not order anything.
    assert changed <= trained
    assert len(changed) > 0.7 * len(trained)
    state = reader.state_dict()
    assert set(state) == trained
    loaded = Decoder(decoder).eval()
    # Files of decoders that re-ranked hold a weight besides.
    loaded.load_state_dict({**state, "weight": torch.ones(())})
    with torch.no_grad():
        assert torch.equal(loaded(HISTORIES, CANDIDATES), reader(HISTORIES, CANDIDATES))
