"""Numbers that Prometheus gathers."""

import logging
from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

BUCKETS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
logger = logging.getLogger("lightrec.serve")


class Metrics:
    """Counts and times."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        counter, gauge = partial(Counter, registry=registry), partial(Gauge, registry=registry)
        self.requests = counter("lightrec_requests", "Requests.", ["path", "status"])
        self.answers = counter("lightrec_answers", "Slates answered.", ["arm", "by"])
        self.feedback = counter("lightrec_feedback", "Events received.", ["kind"])
        self.store = gauge("lightrec_store_up", "Whether the store answers.")
        self.waiting = gauge("lightrec_feedback_waiting", "Events that wait for the store.")
        self.seconds = Histogram(
            "lightrec_recommend_seconds",
            "Seconds of an answer: in all, in the tower, in the search.",
            ["part"],
            buckets=BUCKETS,
            registry=registry,
        )

    def count(self, method: str, path: str, status: int, seconds: float) -> None:
        """Count a request, and log it."""
        self.requests.labels(path, status).inc()
        what = {"method": method, "path": path, "status": status, "ms": round(seconds * 1000, 2)}
        logger.info("request", extra=what)
