"""Asks for flags with OpenFeature's Python provider, and prints what it got as JSON."""

import json
import sys

from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext

api.set_provider(OFREPProvider(sys.argv[1]))
client = api.get_client()
someone = EvaluationContext("v1")
gold = EvaluationContext("v1", {"tier": "gold"})


def told(details):
    code = details.error_code
    return [details.value, details.variant, str(getattr(details.reason, "value", details.reason)), code and code.value]


print(
    json.dumps(
        {
            "truth": told(client.get_boolean_details("truth", False, someone)),
            "number": told(client.get_integer_details("number", 0, someone)),
            "object": told(client.get_object_details("object", {}, someone)),
            "gold": told(client.get_string_details("plan", "none", gold)),
            "none": told(client.get_string_details("none", "mine", someone)),
            "mistyped": told(client.get_integer_details("plan", 7, someone)),
        }
    )
)
