import re
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triptych_gateway.identity import priority, request_id, trace_context
from triptych_servicekit.errors import InvalidArgument

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


def test_a_fit_request_id_is_kept() -> None:
    assert request_id("abc/1:2") == "abc/1:2"
    assert request_id("x" * 128) == "x" * 128


@pytest.mark.parametrize("sent", ["", "a b", "a\nb", "é", "x" * 129])
def test_an_unfit_one_is_replaced(sent: str) -> None:
    assert uuid.UUID(request_id(sent)).version == 4


def test_new_ones_differ() -> None:
    assert len({request_id("") for _ in range(1000)}) == 1000


@pytest.mark.parametrize(
    "sent", [f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00", f"01-{TRACE}-{SPAN}-01-more"]
)
def test_a_valid_trace_is_continued(sent: str) -> None:
    assert trace_context(sent, "a=1") == (sent, "a=1")


@pytest.mark.parametrize(
    "sent",
    [
        "",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"01-{TRACE}-{SPAN}-01-{'x' * 100}",
    ],
)
def test_otherwise_a_new_one_begins(sent: str) -> None:
    traceparent, tracestate = trace_context(sent, "a=1")
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", traceparent)
    assert tracestate == "", "the state belongs to the trace that is not continued"


def test_a_huge_tracestate_is_dropped() -> None:
    assert trace_context(f"00-{TRACE}-{SPAN}-01", "a" * 513)[1] == ""


@given(st.text(max_size=200))
def test_whatever_is_sent_the_trace_is_fit_for_a_header(sent: str) -> None:
    assert re.fullmatch(r"[\x21-\x7e]{1,128}", trace_context(sent, "")[0])
    assert re.fullmatch(r"[\x21-\x7e]{1,128}", request_id(sent))


def test_priorities() -> None:
    assert [priority(word) for word in ("high", "", "Normal", "low")] == [1, 2, 2, 3]
    with pytest.raises(InvalidArgument):
        priority("urgent")
