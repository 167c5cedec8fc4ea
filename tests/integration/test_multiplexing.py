"""Calls over a stream: both ends of it, each against the other over a real connection."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
import grpc.aio
import pytest
import uvloop

from tests.integration.test_serving import SERVICE, Application, Servicer, doing, settings_with
from triptych.v1 import multiplex_service_pb2 as multiplex_pb
from triptych.v1 import multiplex_service_pb2_grpc as multiplex_rpc
from triptych.v1 import tokenizer_service_pb2 as pb
from triptych.v1 import tokenizer_service_pb2_grpc as rpc
from triptych.v1 import types_pb2 as types
from triptych_gateway.multiplexing import MultiplexedStub
from triptych_servicekit.errors import (
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    Overloaded,
    TriptychError,
    Unavailable,
    Unimplemented,
)
from triptych_servicekit.multiplexing import OFFERED
from triptych_servicekit.server import Server, running
from triptych_servicekit.status import from_status

TOKENIZE = f"{SERVICE}/Tokenize"
TOKENIZER = pb.DESCRIPTOR.services_by_name["TokenizerService"]


def answer(text: str) -> pb.TokenizeResponse:
    """A response that can be told from others."""
    return pb.TokenizeResponse(model=types.ModelRef(name=text))


def lasting() -> multiplex_pb.MultiplexRequest:
    """A call of five seconds, longer than any test waits for it."""
    message = doing("5").SerializeToString()
    return multiplex_pb.MultiplexRequest(call_id=1, method=TOKENIZE, message=message)


class StreamServicer(Servicer):
    """`prompt_name` says what to do; see `doing`. Remembers what happened to its calls."""

    def __init__(self) -> None:
        self.began = 0
        self.cancelled = 0
        self.remaining: list[float | None] = []

    async def Tokenize(self, request: pb.TokenizeRequest, context: Any) -> pb.TokenizeResponse:  # noqa: N802
        self.began += 1
        self.remaining.append(context.time_remaining())
        what = request.options.prompt_name
        if what == "fail":
            raise RuntimeError("secret")
        if what == "refuse":
            raise InvalidArgument("options.stride is wrong", field="options.stride")
        if what == "none":
            return None  # type: ignore[return-value]
        if what.startswith("bytes "):
            return answer("x" * int(what.removeprefix("bytes ")))
        try:
            await asyncio.sleep(float(what or 0))
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return answer(what)


class StreamApplication(Application):
    """Offers its methods on streams unless `multiplexed` is false."""

    def __init__(self, multiplexed: bool = True) -> None:
        super().__init__()
        self.multiplexed = multiplexed
        self.servicer = StreamServicer()

    def register(self, server: grpc.aio.Server) -> Sequence[str]:
        rpc.add_TokenizerServiceServicer_to_server(self.servicer, server)
        return [SERVICE]

    def calls(self, code: str) -> float:
        """Calls that ended so."""
        labels = {"method": "Tokenize", "code": code}
        name = "triptych_tokenizer_request_duration_seconds_count"
        return self.metrics.registry.get_sample_value(name, labels) or 0


@contextlib.asynccontextmanager
async def served(
    application: StreamApplication, **environment: str
) -> AsyncIterator[tuple[Server, grpc.aio.Channel]]:
    """The application, and a channel to it."""
    async with (
        running(application, settings_with(**environment)) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        yield server, channel


def stub_of(channel: grpc.aio.Channel, **bounds: Any) -> Any:
    return MultiplexedStub(TOKENIZER, rpc.TokenizerServiceStub(channel), channel, **bounds)


async def tokenize(stub: Any, what: str, timeout: float = 10) -> str:
    response: pb.TokenizeResponse = await stub.Tokenize(doing(what), timeout=timeout)
    return response.model.name


async def failure(stub: Any, what: str, timeout: float = 10) -> TriptychError:
    with pytest.raises(TriptychError) as caught:
        await tokenize(stub, what, timeout)
    return caught.value


class CountingChannel:
    """A channel that counts the streams opened on it."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self.streams = 0
        self.unary_unary = channel.unary_unary

    def stream_stream(self, *arguments: Any, **options: Any) -> Any:
        opened = self._channel.stream_stream(*arguments, **options)

        def call(*positional: Any, **named: Any) -> Any:
            self.streams += 1
            return opened(*positional, **named)

        return call


async def until(condition: Any) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 (it is only asked)
            await asyncio.sleep(0.01)


async def test_calls_share_a_stream_and_answer_as_they_end() -> None:
    ended: list[str] = []

    async def call(stub: Any, what: str) -> None:
        ended.append(await tokenize(stub, what))

    async with served(StreamApplication()) as (_, channel):
        counting: Any = CountingChannel(channel)
        stub = stub_of(counting)
        await asyncio.gather(*(call(stub, what) for what in ("0.4", "0.2", "0")))
        await call(stub, "0.01")
    assert ended == ["0", "0.2", "0.4", "0.01"]
    assert counting.streams == 1


async def test_a_thousand_calls_at_once_each_get_their_own_answer() -> None:
    application = StreamApplication()
    async with served(application) as (_, channel):
        stub = stub_of(channel)
        wanted = [f"0.{number:05}" for number in range(1000)]
        assert await asyncio.gather(*(tokenize(stub, what) for what in wanted)) == wanted
    assert application.calls("OK") == 1000


async def test_a_call_fails_as_it_does_alone() -> None:
    async with served(StreamApplication()) as (_, channel):
        stub = stub_of(channel)
        refused = await failure(stub, "refuse")
        assert isinstance(refused, InvalidArgument)
        assert (refused.field, refused.message) == ("options.stride", "options.stride is wrong")
        failed = await failure(stub, "fail")
        assert isinstance(failed, Internal)
        assert "secret" not in failed.message
        assert await tokenize(stub, "0") == "0"  # the stream goes on


async def test_a_method_that_is_none_and_a_message_that_is_none_end_their_call_only() -> None:
    async with served(StreamApplication()) as (_, channel):
        stream: Any = multiplex_rpc.MultiplexServiceStub(channel).Multiplex()
        sent = (
            (1, f"{SERVICE}/Other", b""),
            (2, "grpc.health.v1.Health/Check", b""),
            (3, TOKENIZE, b"\xff"),
            (4, TOKENIZE, doing("0.2").SerializeToString()),
        )
        for number, method, message in sent:
            request = multiplex_pb.MultiplexRequest(call_id=number, method=method, message=message)
            await stream.write(request)
        found = [await stream.read() for _ in sent]
        errors = {
            response.call_id: from_status(response.status)
            for response in found
            if response.HasField("status")
        }
        assert {number: type(error) for number, error in errors.items()} == {
            1: Unimplemented,
            2: Unimplemented,
            3: InvalidArgument,
        }
        assert errors[3].reason == "INVALID_MESSAGE"
        assert found[-1].call_id == 4
        assert pb.TokenizeResponse.FromString(found[-1].message) == answer("0.2")


async def test_an_id_in_use_ends_the_stream() -> None:
    application = StreamApplication()
    async with served(application) as (_, channel):
        stream: Any = multiplex_rpc.MultiplexServiceStub(channel).Multiplex()
        request = lasting()
        await stream.write(request)
        await stream.write(request)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stream.read()
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert "call_id" in (caught.value.details() or "")
        await until(lambda: application.servicer.cancelled == 1)


async def test_the_deadline_is_told_and_kept() -> None:
    application = StreamApplication()
    async with served(application) as (_, channel):
        stub = stub_of(channel)
        assert isinstance(await failure(stub, "5", timeout=0.3), DeadlineExceeded)
        await until(lambda: application.servicer.cancelled == 1)
        (remaining,) = application.servicer.remaining
        assert remaining is not None
        assert 0 < remaining <= 0.3
        assert isinstance(await failure(stub, "0", timeout=0), DeadlineExceeded)


async def test_the_server_keeps_the_deadline_of_a_client_that_does_not() -> None:
    application = StreamApplication()
    async with served(application) as (_, channel):
        stream: Any = multiplex_rpc.MultiplexServiceStub(channel).Multiplex()
        request = lasting()
        request.timeout.FromMilliseconds(100)
        await stream.write(request)
        response = await asyncio.wait_for(stream.read(), 5)
        assert isinstance(from_status(response.status), DeadlineExceeded)
        assert application.servicer.cancelled == 1
        stream.cancel()


def test_a_call_that_is_late_already_leaves_nothing_behind_on_the_services_loop() -> None:
    async def calls() -> list[type[TriptychError]]:
        async with served(StreamApplication()) as (_, channel):
            stream: Any = multiplex_rpc.MultiplexServiceStub(channel).Multiplex()
            found = []
            for nanos in (0, 400_000, 400_000):  # under a millisecond is at once to uvloop
                request = lasting()
                request.timeout.nanos = nanos
                await stream.write(request)
                response = await asyncio.wait_for(stream.read(), 5)
                found.append(type(from_status(response.status)))
            stream.cancel()
            return found

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(calls()) == [DeadlineExceeded] * 3


async def test_a_response_that_is_none_is_an_error_at_once() -> None:
    async with served(StreamApplication()) as (_, channel):
        failed = await asyncio.wait_for(failure(stub_of(channel), "none"), 5)
        assert isinstance(failed, Internal)


async def test_who_leaves_takes_only_its_own_call_along() -> None:
    application = StreamApplication()
    async with served(application) as (_, channel):
        stub = stub_of(channel)
        leaving = asyncio.ensure_future(tokenize(stub, "5"))
        staying = asyncio.ensure_future(tokenize(stub, "0.3"))
        await until(lambda: application.servicer.began == 2)
        leaving.cancel()
        assert await staying == "0.3"
        await until(lambda: application.servicer.cancelled == 1)
        assert application.calls("CANCELLED") == 1


async def test_calls_cancelled_while_others_are_written_leave_the_stream_whole() -> None:
    async with served(StreamApplication()) as (_, channel):
        counting: Any = CountingChannel(channel)
        stub = stub_of(counting)
        tasks = [asyncio.ensure_future(tokenize(stub, "0.05")) for _ in range(400)]
        for step in range(0, 400, 2):
            await asyncio.sleep(0)
            tasks[step].cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert ended[1::2] == ["0.05"] * 200
        assert counting.streams == 1


async def test_a_full_server_refuses_the_call_and_not_the_stream() -> None:
    application = StreamApplication()
    limit = {"TRIPTYCH_LIMITS_MAX_CONCURRENT_REQUESTS": "1"}
    async with served(application, **limit) as (_, channel):
        stub = stub_of(channel)
        running_call = asyncio.ensure_future(tokenize(stub, "0.3"))
        await until(lambda: application.servicer.began == 1)
        refused = await failure(stub, "0")
        assert isinstance(refused, Overloaded)
        assert refused.retry_after
        assert await running_call == "0.3"


async def test_a_response_over_the_limit_ends_its_call_only() -> None:
    limit = 64 * 1024
    bounds = {"TRIPTYCH_LIMITS_MAX_MESSAGE_BYTES": str(limit)}
    async with served(StreamApplication(), **bounds) as (_, channel):
        stub = stub_of(channel)
        waiting = asyncio.ensure_future(tokenize(stub, "0.2"))
        assert len(await tokenize(stub, f"bytes {limit - 100}")) == limit - 100
        assert isinstance(await failure(stub, f"bytes {limit - 20}"), Overloaded)
        assert await waiting == "0.2"


async def test_limits_that_differ_cost_no_other_call_its_answer() -> None:
    bounds = {"TRIPTYCH_LIMITS_MAX_MESSAGE_BYTES": str(64 * 1024)}
    async with served(StreamApplication(), **bounds) as (_, channel):
        counting: Any = CountingChannel(channel)
        stub = stub_of(counting)
        waiting = [asyncio.ensure_future(tokenize(stub, "0.3")) for _ in range(3)]
        large = doing("0." + "0" * 100_000)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Tokenize(large, timeout=5)
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED  # as it does alone
        assert await asyncio.gather(*waiting) == ["0.3"] * 3
        assert await tokenize(stub, "0") == "0"
        assert counting.streams == 1  # until it is asked again, calls go alone


async def test_who_gives_up_before_it_is_sent_is_not_sent() -> None:
    class Blocked(multiplex_rpc.MultiplexServiceServicer):
        """Reads nothing until it is told to."""

        reads = asyncio.Event()
        begun = 0

        async def Multiplex(self, requests: Any, context: Any) -> None:  # type: ignore[override]  # noqa: N802
            await context.send_initial_metadata(((OFFERED, "5"),))
            await self.reads.wait()
            while (request := await context.read()) is not grpc.aio.EOF:
                self.begun += bool(request.method)

    blocked = Blocked()

    class BlockedApplication(StreamApplication):
        def register(self, server: grpc.aio.Server) -> Sequence[str]:
            multiplex_rpc.add_MultiplexServiceServicer_to_server(blocked, server)
            return super().register(server)

    async with served(BlockedApplication(multiplexed=False)) as (_, channel):
        stub = stub_of(channel)
        large = "0." + "0" * 500_000
        late = await asyncio.gather(*(failure(stub, large, timeout=0.5) for _ in range(40)))
        assert {type(error) for error in late} == {DeadlineExceeded}
        blocked.reads.set()
        await asyncio.sleep(0.5)
        assert blocked.begun < 20  # what the connection itself holds


async def test_a_large_request_goes_alone() -> None:
    async with served(StreamApplication()) as (_, channel):
        counting: Any = CountingChannel(channel)
        stub = stub_of(counting, max_message_bytes=200)
        large = "0." + "0" * 300
        assert await tokenize(stub, large) == large
        assert counting.streams == 0


async def test_a_replica_without_streams_is_called_as_before() -> None:
    application = StreamApplication(multiplexed=False)
    async with served(application) as (_, channel):
        counting: Any = CountingChannel(channel)
        stub = stub_of(counting)
        assert await asyncio.gather(*(tokenize(stub, "0") for _ in range(20))) == ["0"] * 20
        assert await tokenize(stub, "0.01") == "0.01"
        assert counting.streams == 1  # it is asked once
        assert application.servicer.began == 21


async def test_streams_are_renewed_and_each_finishes_its_calls() -> None:
    async with served(StreamApplication()) as (_, channel):
        counting: Any = CountingChannel(channel)
        stub = stub_of(counting, stream_seconds=0.05)
        long = asyncio.ensure_future(tokenize(stub, "0.6"))
        for _ in range(10):
            assert await tokenize(stub, "0.03") == "0.03"
        assert await long == "0.6"
        assert counting.streams >= 5


async def test_no_call_is_lost_when_connections_reach_their_age() -> None:
    age = {"TRIPTYCH_LIFECYCLE_MAX_CONNECTION_AGE": "1", "TRIPTYCH_LIFECYCLE_GRACE": "0.4"}
    async with served(StreamApplication(), **age) as (_, channel):
        stub = stub_of(channel)
        loop = asyncio.get_running_loop()
        end = loop.time() + 4
        answered = itertools.count()

        async def client() -> None:
            while loop.time() < end:
                assert await tokenize(stub, "0.02") == "0.02"
                next(answered)

        await asyncio.gather(*(client() for _ in range(8)))
        assert next(answered) > 100


async def test_a_stop_finishes_the_calls_of_a_stream() -> None:
    server = Server(StreamApplication(), settings_with())
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = stub_of(channel)
        call = asyncio.ensure_future(tokenize(stub, "0.8"))
        await asyncio.sleep(0.1)
        stopping = asyncio.ensure_future(server.stop())
        assert await call == "0.8"
        await asyncio.wait_for(stopping, 3)
        assert isinstance(await failure(stub, "0"), Unavailable)


async def test_what_breaks_a_stream_fails_its_calls_at_once_and_the_next_one_works() -> None:
    application = StreamApplication()
    server = Server(application, settings_with(TRIPTYCH_LIFECYCLE_GRACE="0"))
    await server.start()
    options = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 100)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}", options) as channel:
        stub = stub_of(channel)
        failing = asyncio.ensure_future(failure(stub, "20", timeout=30))
        await until(lambda: application.servicer.began == 1)
        await server.stop()
        assert isinstance(await asyncio.wait_for(failing, 2), Unavailable)
        port = {"TRIPTYCH_LISTEN_PORT": str(server.port)}
        async with served(StreamApplication(), **port):
            await asyncio.wait_for(channel.channel_ready(), 5)
            assert await tokenize(stub, "0") == "0"


class Silent(multiplex_rpc.MultiplexServiceServicer):
    """Accepts streams and never says what ours says."""

    async def Multiplex(self, requests: Any, context: Any) -> None:  # type: ignore[override]  # noqa: N802
        await context.send_initial_metadata(())
        await asyncio.Event().wait()


async def test_a_stream_that_is_none_of_ours_is_given_up() -> None:
    class SilentApplication(StreamApplication):
        def register(self, server: grpc.aio.Server) -> Sequence[str]:
            multiplex_rpc.add_MultiplexServiceServicer_to_server(Silent(), server)
            return super().register(server)

    application = SilentApplication(multiplexed=False)
    async with served(application) as (_, channel):
        stub = stub_of(channel)
        assert await asyncio.gather(*(tokenize(stub, "0") for _ in range(3))) == ["0"] * 3
