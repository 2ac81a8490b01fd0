"""Each check of an encoder fails for an encoder that is wrong in just that."""

import textwrap
from zlib import crc32

import pytest
import torch
from torch import nn

from lightrec.encoders.base import Encoder
from lightrec.testing import ContractError, DoesNotApply, EncoderChecks, check_all, modules
from tests.processes import run_python

PROCESS = "another process"


class Trained(Encoder, nn.Module):
    """The mean of the words' vectors, times a matrix."""

    size = 6

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(50, 6)
        self.out = nn.Linear(6, 6)

    def one(self, text):
        ids = [crc32(word.encode()) % 50 for word in text.split()]
        return self.words(torch.tensor(ids)).mean(0) if ids else torch.zeros(6)

    def encode(self, texts):
        if not len(texts):
            return torch.zeros(0, 6)
        return self.out(torch.stack([self.one(text) for text in texts]))


class Plain(Encoder):
    """Counts letters."""

    size = 5

    def encode(self, texts):
        rows = [[float(text.count(letter)) for letter in "aeiou"] for text in texts]
        return torch.tensor(rows).reshape(-1, 5)


class SizeIsNoWholeNumber(Trained):
    size = 6.0


class OneColumnMore(Trained):
    def encode(self, texts):
        return nn.functional.pad(super().encode(texts), (0, 1))


class NoWordsNoNumber(Trained):
    def one(self, text):
        return super().one(text) / (1.0 if text else 0.0)


class NeedsTexts(Trained):
    def encode(self, texts):
        return self.out(torch.stack([self.one(text) for text in texts]))


class SortsAndForgets(Trained):
    def encode(self, texts):
        return super().encode(sorted(texts, key=len))


class RefusesLongTexts(Trained):
    def one(self, text):
        if len(text) > 1000:
            raise IndexError("index out of range in self")
        return super().one(text)


class OnlyAscii(Trained):
    def one(self, text):
        text.encode("ascii")
        return super().one(text)


class Constant(Trained):
    def encode(self, texts):
        return super().encode(texts) * 0


class RandomAtBirth(Plain):
    def __init__(self):
        self.shift = torch.rand(5)

    def encode(self, texts):
        return super().encode(texts) + self.shift


class HoldsALambda(Trained):
    def __init__(self):
        super().__init__()
        self.split = lambda text: text.split()


class Detached(Trained):
    def one(self, text):
        return super().one(text).detach()


class UnregisteredTensor(Trained):
    def __init__(self):
        super().__init__()
        self.shift = torch.rand(6)

    def encode(self, texts):
        return super().encode(texts) + self.shift


@pytest.mark.parametrize("right", [Trained, Plain])
def test_a_right_one_passes(right, failing):
    assert failing(EncoderChecks(right), PROCESS) == set()


@pytest.mark.parametrize(
    ("wrong", "names"),
    [
        (SizeIsNoWholeNumber, {"output as declared"}),
        (OneColumnMore, {"output as declared"}),
        (NoWordsNoNumber, {"output as declared", "devices"}),
        (NeedsTexts, {"output as declared"}),
        (SortsAndForgets, {"rows apart"}),
        (RefusesLongTexts, {"output as declared"}),
        (OnlyAscii, {"output as declared"}),
        (Constant, {"different texts", "gradients"}),
        (RandomAtBirth, {"saved"}),
        (HoldsALambda, {"saved"}),
        (Detached, {"gradients"}),
        (UnregisteredTensor, {"saved"}),
    ],
)
def test_a_wrong_one_fails(wrong, names, failing):
    assert failing(EncoderChecks(wrong), PROCESS) == names


def test_what_differs_in_another_process(tmp_path, monkeypatch, failing):
    source = """
        import torch
        from lightrec.encoders.base import Encoder

        class Hashed(Encoder):
            size = 1

            def encode(self, texts):
                return torch.tensor([float(hash(text) % 1000) for text in texts]).reshape(-1, 1)
    """
    (tmp_path / "hashed_encoder_of_a_test.py").write_text(textwrap.dedent(source))
    monkeypatch.syspath_prepend(tmp_path)
    from hashed_encoder_of_a_test import Hashed

    assert failing(EncoderChecks(Hashed)) == {PROCESS}


def test_a_class_that_is_not_found_elsewhere_is_passed_over(tmp_path, monkeypatch):
    source = "from lightrec.encoders.base import Encoder\n\n\n"
    source += "class Gone(Encoder):\n    size = 1\n    encode = None\n"
    (tmp_path / "encoder_that_goes_away.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    from encoder_that_goes_away import Gone

    (tmp_path / "encoder_that_goes_away.py").unlink()
    monkeypatch.setattr(modules, "run_python", run_python)
    (check,) = [check for check in EncoderChecks(Gone) if check.name == PROCESS]
    with pytest.raises(DoesNotApply, match="cannot be imported in another process"):
        check()


def test_all_failures_are_told_at_once():
    with pytest.raises(ContractError) as raised:
        check_all(EncoderChecks(type("Broken", (OneColumnMore,), {"__module__": __name__})))
    text = str(raised.value)
    assert "- Broken-output-as-declared: The vectors of any texts have the declared shape" in text
    assert "return `torch.zeros(0, self.size)` where there are no texts" in text
