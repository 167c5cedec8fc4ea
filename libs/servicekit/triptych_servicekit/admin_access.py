"""Who may call the admin listener: those with the token, those with an allowed certificate."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio

from triptych_servicekit.errors import PermissionDenied, Unauthenticated
from triptych_servicekit.groups import Admin
from triptych_servicekit.guard import Behaviour
from triptych_servicekit.settings import SettingsError

# A token that can be guessed is none: 16 characters of hexadecimal are 64 bits.
MIN_TOKEN_CHARACTERS: Final = 16
SCHEME: Final = "Bearer "

# Kind of identity → gRPC's name for it in what it knows of a verified peer.
PROPERTIES: Final = {"uri": "peer_uri", "dns": "peer_dns", "cn": "x509_common_name"}

Identity = tuple[str, bytes]
Metadata = Iterable[tuple[str, str | bytes]]


@dataclass(frozen=True, slots=True)
class Access:
    """What a call has to show: everything that is set here."""

    token_hash: bytes
    """sha256 of the token; empty where none is asked for."""
    identities: frozenset[Identity]

    def check(self, metadata: Metadata, peer: Mapping[str, Iterable[bytes]]) -> None:
        """Raises Unauthenticated for a token, PermissionDenied for an identity, that is wrong."""
        if self.token_hash and not self._knows(metadata):
            raise Unauthenticated("the call carries no valid token")
        if self.identities and self.identities.isdisjoint(_identities(peer)):
            raise PermissionDenied("the client's certificate names no identity that may call this")

    def _knows(self, metadata: Metadata) -> bool:
        values = [str(value) for key, value in metadata if key == "authorization"]
        if len(values) != 1 or not values[0].startswith(SCHEME):
            return False
        shown = hashlib.sha256(values[0].removeprefix(SCHEME).encode()).digest()
        return hmac.compare_digest(shown, self.token_hash)


def read_access(admin: Admin) -> Access | None:
    """What the settings ask for; None where they ask for nothing, and the listener stays off.

    Raises SettingsError, which never repeats the token.
    """
    token = _read_token(admin)
    if not token and not admin.identities:
        return None
    identities = frozenset(map(_read_identity, admin.identities))
    return Access(hashlib.sha256(token.encode()).digest() if token else b"", identities)


def _read_token(admin: Admin) -> str:
    if admin.token and admin.token_file:
        raise SettingsError("TRIPTYCH_ADMIN_TOKEN and TRIPTYCH_ADMIN_TOKEN_FILE exclude each other")
    token = admin.token or (_token_in(admin.token_file) if admin.token_file else "")
    if (token or admin.token_file) and len(token) < MIN_TOKEN_CHARACTERS:
        raise SettingsError(f"the admin token has less than {MIN_TOKEN_CHARACTERS} characters")
    return token


def _token_in(name: str) -> str:
    try:
        return Path(name).read_text().strip()
    except (OSError, UnicodeDecodeError):
        raise SettingsError(f"TRIPTYCH_ADMIN_TOKEN_FILE={name!r} cannot be read") from None


def _read_identity(text: str) -> Identity:
    kind, colon, value = text.partition(":")
    if kind not in PROPERTIES or not colon or not value:
        raise SettingsError(
            f"TRIPTYCH_ADMIN_IDENTITIES has {text!r}, which begins with none of uri:, dns:, cn:"
        )
    return kind, value.encode()


def _identities(peer: Mapping[str, Iterable[bytes]]) -> set[Identity]:
    return {(kind, value) for kind, name in PROPERTIES.items() for value in peer.get(name, ())}


class AccessInterceptor(grpc.aio.ServerInterceptor):
    """Lets a call through to its method once it has shown what `access` asks for.

    Stands behind CallInterceptor, which answers with what is raised here.
    """

    def __init__(self, access: Access) -> None:
        self._access = access

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """Guard the handler of a unary method."""
        handler = await continuation(handler_call_details)
        if handler is None or handler.unary_unary is None:
            return None
        return grpc.unary_unary_rpc_method_handler(
            self._guard(handler.unary_unary),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _guard(self, behaviour: Behaviour) -> Any:
        async def guarded(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            metadata: Any = context.invocation_metadata() or ()
            self._access.check(metadata, context.auth_context())
            return await behaviour(request, context)

        return guarded
