"""A container's health check: exit code 0 where /readyz of this container answers 200.

It runs every few seconds in every container, so it imports next to nothing: a socket and one line.
"""

import os
import socket
import sys
from collections.abc import Mapping
from typing import Final

TIMEOUT: Final = 2.0
REQUEST: Final = b"GET /readyz HTTP/1.0\r\n\r\n"


def connect(environment: Mapping[str, str]) -> socket.socket:
    """A connection to the operations listener, in TLS where the service has a certificate."""
    port = int(environment.get("TRIPTYCH_LISTEN_OPERATIONS_PORT", "9100"))
    plain = socket.create_connection(("127.0.0.1", port), TIMEOUT)
    certificate = environment.get("TRIPTYCH_TLS_CERT_FILE")
    if not certificate:
        return plain
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # It is this very container that answers, whatever name its certificate is for; where clients
    # must prove themselves, the service's own certificate does.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(certificate, environment.get("TRIPTYCH_TLS_KEY_FILE"))
    return context.wrap_socket(plain)


def is_ready(environment: Mapping[str, str]) -> bool:
    """Whether the status line says 200."""
    try:
        with connect(environment) as connection:
            connection.sendall(REQUEST)
            return connection.recv(16).split(b" ")[1:2] == [b"200"]
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(0 if is_ready(os.environ) else 1)
