"""Messages held against the JSON Schema; it needs jsonschema, which an extra brings."""

from __future__ import annotations

import json
from functools import cache
from importlib import import_module, resources
from typing import Any

from addcow_conformance.protocol._messages import RESULTS, Message
from addcow_spec.errors import ProtocolViolation, UsageError

__all__ = ["Validator", "protocol_schema"]


def protocol_schema() -> dict[str, Any]:
    """The JSON Schema of all messages: ``request``, ``answer`` and ``result-KIND`` in its ``$defs``."""
    text = resources.files(__package__).joinpath("schemas/v1.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


class Validator:
    """Holds messages against the schema.

    Raises:
        UsageError: jsonschema is not installed.
    """

    def __init__(self) -> None:
        self._parts = _parts()

    def request(self, message: Message) -> None:
        """Hold a request against the schema.

        Raises:
            ProtocolViolation: it is not as the schema has it.
        """
        self._hold("request", message)

    def answer(self, do: str, message: Message) -> None:
        """Hold an answer to a request of the kind ``do`` against the schema.

        Raises:
            ProtocolViolation: it is not as the schema has it.
        """
        self._hold("answer", message)
        if "result" in message:
            self._hold(f"result-{do}", message["result"])

    def _hold(self, part: str, value: Any) -> None:  # noqa: ANN401 - whatever JSON holds
        error = next(self._parts[part].iter_errors(value), None)
        if error is not None:
            raise ProtocolViolation(f"the schema, {part}, {error.json_path}: {error.validator} does not hold")


@cache
def _parts() -> dict[str, Any]:
    try:
        jsonschema = import_module("jsonschema")
    except ImportError as error:
        raise UsageError(
            "--validate-protocol needs jsonschema: pip install 'add-cow-toolkit[protocol]'"
        ) from error
    definitions = protocol_schema()["$defs"]
    names = ("request", "answer", *(f"result-{do}" for do in RESULTS))
    return {
        name: jsonschema.Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": definitions})
        for name in names
    }
