"""The admin listener: AdminService over whatever a service holds, off unless it is guarded."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import grpc.aio

from triptych.v1 import admin_service_pb2 as pb
from triptych.v1 import admin_service_pb2_grpc as rpc
from triptych.v1 import types_pb2 as types
from triptych_servicekit.admin_access import Access, AccessInterceptor, read_access
from triptych_servicekit.channels import bind, server_credentials, server_options
from triptych_servicekit.errors import InvalidArgument
from triptych_servicekit.groups import Admin, Lifecycle, Limits, Tls
from triptych_servicekit.guard import CallGuard
from triptych_servicekit.interceptor import CallInterceptor
from triptych_servicekit.metrics import Metrics
from triptych_servicekit.settings import SettingsError
from triptych_servicekit.stores import BundleState, BundleStatus, BundleStore

logger = logging.getLogger(__name__)

# What an operator sends is a name; nobody else gets to have a large message read.
MAX_REQUEST_BYTES: Final = 64 * 1024
LOOPBACK: Final = ("127.0.0.1", "::1", "[::1]", "localhost")

STATES: Final = {
    BundleState.LOADING: pb.BUNDLE_STATE_LOADING,
    BundleState.LOADED: pb.BUNDLE_STATE_LOADED,
    BundleState.DRAINING: pb.BUNDLE_STATE_DRAINING,
    BundleState.REFUSED: pb.BUNDLE_STATE_REFUSED,
    BundleState.UNLOADED: pb.BUNDLE_STATE_UNLOADED,
}

Context = grpc.aio.ServicerContext[Any, Any]


class AdminServicer(rpc.AdminServiceServicer):
    """Serves AdminService."""

    def __init__(self, bundles: BundleStore) -> None:
        self._bundles = bundles

    async def LoadModel(  # noqa: N802
        self,
        request: pb.LoadModelRequest,
        context: Context,  # noqa: ARG002
    ) -> pb.LoadModelResponse:
        """Load a bundle and wait until it serves."""
        model = request.model
        if not model.name:
            raise InvalidArgument("model.name must be given", field="model.name")
        if model.digest:
            raise InvalidArgument("a bundle is loaded by its name", field="model.digest")
        status = await self._bundles.load(model.name, model.version)
        return pb.LoadModelResponse(bundle=_write(status))

    async def UnloadModel(  # noqa: N802
        self,
        request: pb.UnloadModelRequest,
        context: Context,  # noqa: ARG002
    ) -> pb.UnloadModelResponse:
        """Take a bundle out of service."""
        model = request.model
        if not model.name and not model.digest:
            raise InvalidArgument("model.name or model.digest must be given", field="model")
        status = await self._bundles.unload(model.name, model.version, model.digest)
        return pb.UnloadModelResponse(bundle=_write(status))

    async def ListBundles(  # noqa: N802
        self,
        request: pb.ListBundlesRequest,  # noqa: ARG002
        context: Context,  # noqa: ARG002
    ) -> pb.ListBundlesResponse:
        """Everything there is."""
        return pb.ListBundlesResponse(bundles=map(_write, self._bundles.statuses()))


def _write(status: BundleStatus) -> pb.BundleStatus:
    return pb.BundleStatus(
        model=types.ModelRef(name=status.name, version=status.version, digest=status.digest),
        state=STATES[status.state],
        reason=status.reason,
        size_bytes=status.size,
        pinned=status.pinned,
    )


class AdminListener:
    """A gRPC server of its own; `port` is the real one."""

    def __init__(
        self,
        admin: Admin,
        access: Access,
        tls: Tls,
        limits: Limits,
        lifecycle: Lifecycle,
        guard: CallGuard,
        bundles: BundleStore,
    ) -> None:
        self._grpc = grpc.aio.server(
            interceptors=[CallInterceptor(guard), AccessInterceptor(access)],
            options=[
                *server_options(limits, lifecycle),
                ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
            ],
        )
        rpc.add_AdminServiceServicer_to_server(AdminServicer(bundles), self._grpc)
        tls = replace(tls, client_ca_file=admin.client_ca_file or tls.client_ca_file)
        credentials = server_credentials(tls)
        if access.identities and not (credentials and tls.client_ca_file):
            raise SettingsError(
                "TRIPTYCH_ADMIN_IDENTITIES needs TRIPTYCH_TLS_CERT_FILE, TRIPTYCH_TLS_KEY_FILE and"
                " TRIPTYCH_ADMIN_CLIENT_CA_FILE or TRIPTYCH_TLS_CLIENT_CA_FILE"
            )
        if credentials is None and admin.host not in LOOPBACK:
            logger.warning("the admin token travels in plaintext", extra={"host": admin.host})
        self.port = bind(self._grpc, f"{admin.host}:{admin.port}", credentials)

    async def start(self) -> None:
        """Accept connections from now on."""
        await self._grpc.start()

    async def stop(self) -> None:
        """Cancel what is in progress: nobody needs a bundle any more."""
        await self._grpc.stop(0)


def admin_listener(
    admin: Admin,
    tls: Tls,
    limits: Limits,
    lifecycle: Lifecycle,
    metrics: Metrics,
    ready: Callable[[], bool],
    bundles: BundleStore,
) -> AdminListener | None:
    """The listener that the settings ask for, None where nothing guards it."""
    access = read_access(admin)
    if access is None:
        return None
    guard = CallGuard(metrics, limits.max_concurrent_requests, ready)
    return AdminListener(admin, access, tls, limits, lifecycle, guard, bundles)
