"""Whatever a client makes up from the API's own description is answered as that says."""

from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from lightrec_serve.app import application
from lightrec_serve.run_engine import RunEngine
from lightrec_serve.service import Arm, Service
from lightrec_serve.store import Store
from starlette.testclient import TestClient

HOW = {"max_examples": 30, "deadline": None, "database": None, "derandomize": True}
HOW |= {"suppress_health_check": list(HealthCheck)}


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["positive", "negative"])
def test_every_route_keeps_to_its_description(tiny_run, tmp_path, mode):
    schemathesis = pytest.importorskip("schemathesis")
    checks = pytest.importorskip("schemathesis.specs.openapi.checks")
    store = Store(f"sqlite:///{tmp_path}/served.db")
    app = application(Service([Arm("a", lambda: RunEngine(tiny_run))], store, patience=60))
    wanted = schemathesis.GenerationMode(mode)
    with TestClient(app):
        api = schemathesis.openapi.from_asgi("/openapi.json", app)
        for operation in api.get_all_operations():

            @settings(**HOW)
            @given(operation.ok().as_strategy(generation_mode=wanted))
            def conforms(case):
                # What fits the description may name what there is not.
                case.call_and_validate(excluded_checks=[checks.positive_data_acceptance])

            with suppress(Unsatisfiable):  # where nothing that is sent can be wrong
                conforms()
