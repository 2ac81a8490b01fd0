"""The service beside which lightrec's is measured: implicit's ALS behind FastAPI.

What one would write in an afternoon: the user is folded in from the history, nothing is stored, and
there are no sessions, filters or tokens.
"""

import sys

import numpy as np
import scipy.sparse
import uvicorn
from fastapi import FastAPI
from implicit.cpu.als import AlternatingLeastSquares
from pydantic import BaseModel

ITEMS, SIZE = 100_000, 64


class Ask(BaseModel):
    """A request."""

    history: list[str]
    k: int = 10


def application() -> FastAPI:
    """Make the service, with factors drawn at random: their values cost nothing more or less."""
    rng = np.random.default_rng(0)
    model = AlternatingLeastSquares(factors=SIZE, num_threads=1)
    model.item_factors = rng.normal(size=(ITEMS, SIZE)).astype(np.float32) / SIZE**0.5
    model.user_factors = np.zeros((1, SIZE), np.float32)
    model._YtY = None
    app = FastAPI()

    @app.post("/recommend")
    async def recommend(ask: Ask) -> list[dict[str, float | str]]:
        rows = np.array([int(item) for item in ask.history])
        shape = (1, ITEMS)
        seen = scipy.sparse.csr_matrix(
            (np.ones(len(rows), np.float32), rows, [0, len(rows)]), shape
        )
        items, scores = model.recommend(0, seen, N=ask.k, recalculate_user=True)
        return [
            {"item": str(item), "score": float(score)}
            for item, score in zip(items, scores, strict=True)
        ]

    return app


if __name__ == "__main__":
    uvicorn.run(application(), port=int(sys.argv[1]), log_level="warning", access_log=False)
