"""Whatever a client makes up from the API's own description is answered as that says."""

from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable

HOW = {"max_examples": 30, "deadline": None, "database": None, "derandomize": True}
HOW |= {"suppress_health_check": list(HealthCheck)}


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["positive", "negative"])
def test_every_route_keeps_to_its_description(client, mode):
    schemathesis = pytest.importorskip("schemathesis")
    checks = pytest.importorskip("schemathesis.specs.openapi.checks")
    wanted = schemathesis.GenerationMode(mode)
    with client() as http:
        api = schemathesis.openapi.from_asgi("/openapi.json", http.app)
        for operation in api.get_all_operations():

            @settings(**HOW)
            @given(operation.ok().as_strategy(generation_mode=wanted))
            def conforms(case):
                # What fits the description may name what there is not.
                case.call_and_validate(excluded_checks=[checks.positive_data_acceptance])

            with suppress(Unsatisfiable):  # where nothing that is sent can be wrong
                conforms()
