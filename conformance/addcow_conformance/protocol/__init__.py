"""JSON lines between the toolkit and an implementation in a process of its own: the messages of version 1.

`conformance/PROTOCOL.md` is the contract, for who writes the other end.
"""

from addcow_conformance.protocol._messages import (
    CAPABILITIES,
    LARGEST_DATA,
    LARGEST_NUMBER,
    LONGEST_LINE,
    LONGEST_TEXT,
    REQUESTS,
    RESULTS,
    VERSION,
    Message,
    check_answer,
    check_request,
    check_result,
    decode_line,
    encode_line,
)
from addcow_conformance.protocol._schema import Validator, protocol_schema
from addcow_conformance.protocol._serve import serve

__all__ = [
    "CAPABILITIES",
    "LARGEST_DATA",
    "LARGEST_NUMBER",
    "LONGEST_LINE",
    "LONGEST_TEXT",
    "REQUESTS",
    "RESULTS",
    "VERSION",
    "Message",
    "Validator",
    "check_answer",
    "check_request",
    "check_result",
    "decode_line",
    "encode_line",
    "protocol_schema",
    "serve",
]
