"""The platform in its mesh: servers, the proxies that hold their networks, and callers outside."""

import os
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
from prometheus_client.parser import text_string_to_metric_families

from deploy.mesh.__main__ import CONTAINER_USER, write
from deploy.mesh.clusters import INBOUND
from deploy.mesh.listeners import METRICS_PATH, METRICS_PORT
from tests.e2e.engine import CLONE, Container, Project

GRPC: Final = 50051
TIMEOUT: Final = 10.0
HEADERS: Final = {"content-type": "application/grpc", "te": "trailers"}
REPLICAS: Final = {
    stage: (stage, f"{stage}-2") for stage in ("tokenizer", "encoder", "postprocess")
}


@dataclass(frozen=True, slots=True)
class Mesh:
    """A project whose servers are called `<name>` and their proxies `<name>-proxy`."""

    project: Project
    folder: Path

    def server(self, name: str) -> Container:
        """The container of a server."""
        (found,) = self.project.containers(name)
        return found

    def address(self, name: str) -> str:
        """Where a server and its proxy are."""
        (found,) = self.project.containers(f"{name}-proxy")
        return found.address

    def counts(self, name: str) -> Mapping[str, float]:
        """Counters of a server's proxy: totals over their labels, by name."""
        return _totals(f"http://{self.address(name)}:{METRICS_PORT}{METRICS_PATH}")

    def calls(self, name: str) -> float:
        """Calls that a server has answered since its process began; 0 while it is down."""
        stage = name.partition("-")[0]
        try:
            found = _totals(f"http://{self.address(name)}:9100/metrics")
        except httpx.HTTPError:
            return 0.0
        return found.get(f"triptych_{stage}_request_duration_seconds_count", 0.0)

    def replicas(self, stage: str) -> float:
        """How many replicas of a stage the gateway has windows for."""
        found = httpx.get(f"http://{self.address('gateway')}:9100/metrics", timeout=TIMEOUT).text
        return next(
            sample.value
            for family in text_string_to_metric_families(found)
            for sample in family.samples
            if sample.name == "triptych_gateway_stage_replicas"
            and sample.labels == {"stage": stage}
        )

    def call(self, name: str, path: str, context: ssl.SSLContext) -> httpx.Response:
        """An empty call to a service's proxy, from outside of the mesh."""
        url = f"https://{self.address(name)}:{INBOUND[GRPC]}{path}"
        with httpx.Client(verify=context, timeout=TIMEOUT) as client:
            return client.post(url, headers=HEADERS, content=b"\0\0\0\0\0")

    def context(self, account: str | None, identities: Path | None = None) -> ssl.SSLContext:
        """Trusts the mesh's authority, and shows an account's certificate, if any."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # an identity is a URI in the certificate, which the library knows nothing of
        context.check_hostname = False
        context.load_verify_locations(self.folder / "identities/gateway/authority.pem")
        if account is not None:
            own = (identities or self.folder / "identities") / account
            context.load_cert_chain(own / "certificate.pem", own / "key.pem")
        return context


def meshed(project: Project, policy: str, folder: Path) -> Iterator[Mesh]:
    """The project in a mesh of `deploy/mesh/<policy>`, up, and removed in the end."""
    write(CLONE / "deploy/mesh" / policy, folder)
    user = CONTAINER_USER if os.getuid() == 0 else os.getuid()
    environment = {
        **project.environment,
        "COMPOSE_PROFILES": policy,
        "TRIPTYCH_MESH_FOLDER": str(folder),
        "TRIPTYCH_MESH_USER": f"{user}:{user}",
        "TRIPTYCH_MESH_REVISION": (folder / "revision").read_text().strip(),
    }
    made = Project(project.name, ("mesh",), environment)
    made.down()
    try:
        made.up()
        yield Mesh(made, folder)
    finally:
        made.down()


def _totals(url: str) -> dict[str, float]:
    totals: dict[str, float] = {}
    for family in text_string_to_metric_families(httpx.get(url, timeout=TIMEOUT).text):
        for sample in family.samples:
            totals[sample.name] = totals.get(sample.name, 0.0) + sample.value
    return totals
