"""Scores of lines by a language model, computed in batches and kept by their hash."""

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from lightrec_generate.language_readers import AT_ONCE, LanguageReader

LINES: Final = 16
"""Number of a text's lines that are read at once."""
PROBE: Final = (["One", "Two"], ["Three", "Four"])
"""By what a model says of these its answers are told from those of another."""


class Answers:
    """The scores of a reader, each computed once.

    :param reader: scores lines as the next ones of a text.
    :param path: a file of SQLite that keeps the answers; None keeps them in memory.
    """

    def __init__(self, reader: LanguageReader, path: Path | None = None) -> None:
        self.reader = reader
        self.held: dict[bytes, float] = {}
        self.computed = 0
        """Number of scores that were computed, and not kept already."""
        self.file = None if path is None else sqlite3.connect(path)
        if self.file is not None:
            self.file.execute(
                "CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, score REAL)"
            )
            self.held = dict(self.file.execute("SELECT key, score FROM answers"))
        said = self._read([PROBE[0]], [PROBE[1]])[0]
        self.mark = json.dumps([reader.description, [f"{score:.3f}" for score in said]])

    def scores(self, texts: Sequence[Sequence[str]], lines: Sequence[Sequence[str]]) -> Tensor:
        """Score C lines as the next one of each of B texts: (B, C) float32.

        :param texts: B lists of lines, the last one last.
        :param lines: B lists of C lines.
        """
        wanted: dict[tuple[str, ...], dict[bytes, str]] = {}
        keys = []
        for text, candidates in zip(texts, lines, strict=True):
            keys.append([self._key(text, line) for line in candidates])
            lacking = wanted.setdefault(tuple(text), {})
            both = zip(keys[-1], candidates, strict=True)
            lacking |= {key: line for key, line in both if key not in self.held}
        jobs = []
        for words, new in wanted.items():
            pairs = [*new.items()]
            jobs += [(words, pairs[i : i + LINES]) for i in range(0, len(pairs), LINES)]
        jobs.sort(key=lambda job: len(job[1]))  # so that little is asked in vain
        for start in range(0, len(jobs), AT_ONCE):
            self._ask(jobs[start : start + AT_ONCE])
        return torch.tensor([[self.held[key] for key in row] for row in keys])

    def _key(self, text: Sequence[str], line: str) -> bytes:
        said = json.dumps([self.mark, *text, line])
        return hashlib.blake2b(said.encode(), digest_size=16).digest()

    def _ask(self, jobs: Sequence[tuple[tuple[str, ...], Sequence[tuple[bytes, str]]]]) -> None:
        """Ask about the lines of some texts, the last of which has most of them."""
        width = len(jobs[-1][1])
        lines = [[line for _, line in pairs] for _, pairs in jobs]
        padded = [row + row[-1:] * (width - len(row)) for row in lines]
        scores = self._read([[*text] for text, _ in jobs], padded)
        new = {
            key: score
            for (_, pairs), row in zip(jobs, scores, strict=True)
            for (key, _), score in zip(pairs, row, strict=False)
        }
        self.held |= new
        self.computed += len(new)
        if self.file is not None:
            with self.file:
                self.file.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?)", new.items())

    @torch.inference_mode()
    def _read(self, texts: list[list[str]], lines: list[list[str]]) -> list[list[float]]:
        scores: list[list[float]] = self.reader(texts, lines).float().tolist()
        return scores
