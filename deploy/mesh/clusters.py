"""Envoy clusters: one for each host, under its traffic policy."""

from collections.abc import Mapping
from typing import Any, Final

from deploy.mesh.policy import PolicyError, Upstream, principal

Config = dict[str, Any]

TYPE: Final = "type.googleapis.com/envoy"
IDENTITY: Final = "/etc/identity"
# Where the proxy of a service listens for what its server has on another port.
GRPC: Final = 50051
INBOUND: Final = {GRPC: 15051, 8080: 15080}
# Docker answers a name with the addresses of this moment.
DNS_REFRESH: Final = "1s"
# How often a proxy asks a pod whether it is ready. In a cluster it is told of one that stops; here
# it must have asked within the drain delay of `compose.mesh.yaml`.
READY_INTERVAL: Final = "1s"
BALANCERS: Final = {"LEAST_REQUEST": "LEAST_REQUEST", "ROUND_ROBIN": "ROUND_ROBIN"}
OUTLIERS: Final = {
    "splitExternalLocalOriginErrors": "split_external_local_origin_errors",
    "consecutiveLocalOriginFailures": "consecutive_local_origin_failure",
    "consecutiveGatewayErrors": "consecutive_gateway_failure",
    "interval": "interval",
    "baseEjectionTime": "base_ejection_time",
    "maxEjectionPercent": "max_ejection_percent",
}


def cluster_name(host: str, port: int) -> str:
    """As Istio names them."""
    return f"outbound|{port}||{host}"


def local(port: int, http2: bool) -> Config:
    """The server beside the proxy."""
    made: Config = {
        "name": f"inbound|{port}||",
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": _endpoints(f"inbound|{port}||", "127.0.0.1", port),
    }
    return made | (_http2() if http2 else {})


def admin(port: int) -> Config:
    """The proxy's own admin listener, for the one page of it that others may read."""
    return {
        "name": "admin",
        "type": "STATIC",
        "load_assignment": _endpoints("admin", "127.0.0.1", port),
    }


def remote(upstream: Upstream, port: int, namespace: str) -> Config:
    """The replicas of a host: found by name, called with a certificate, known by theirs."""
    name = cluster_name(upstream.host, port)
    pool = upstream.traffic["connectionPool"]
    made: Config = {
        "name": name,
        "cluster_type": _by_name(),
        "connect_timeout": pool["tcp"]["connectTimeout"],
        "lb_policy": BALANCERS[upstream.traffic["loadBalancer"]["simple"]],
        # Istio's minHealthPercent is 0: with all but one out, that one is it.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "load_assignment": _endpoints(name, upstream.host, INBOUND[port]),
        "circuit_breakers": {"thresholds": [_limits(pool)]},
        "outlier_detection": _outliers(upstream.traffic["outlierDetection"]),
        "transport_socket": _client_tls(upstream.account, namespace),
    }
    if port != GRPC:
        return made
    return made | _http2() | _ready(upstream)


def certificates() -> Config:
    """What a proxy shows, and the authority that it takes others' from."""
    return {
        "tls_certificates": [
            {
                "certificate_chain": {"filename": f"{IDENTITY}/certificate.pem"},
                "private_key": {"filename": f"{IDENTITY}/key.pem"},
            }
        ],
        # Envoy's clients would stop at 1.2 otherwise.
        "tls_params": {
            "tls_minimum_protocol_version": "TLSv1_3",
            "tls_maximum_protocol_version": "TLSv1_3",
        },
    }


def known_as(match: Mapping[str, str]) -> Config:
    """A certificate of the authority whose SPIFFE identity matches."""
    return {
        "trusted_ca": {"filename": f"{IDENTITY}/authority.pem"},
        "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": dict(match)}],
    }


def _by_name() -> Config:
    """Every address that a name has is an endpoint."""
    kind = f"{TYPE}.extensions.clusters.dns.v3.DnsCluster"
    looks = {"dns_refresh_rate": DNS_REFRESH, "dns_lookup_family": "V4_ONLY"}
    return {"name": "envoy.cluster.dns", "typed_config": {"@type": kind, **looks}}


def _ready(upstream: Upstream) -> Config:
    """Endpoints are pods that are ready, as in a cluster: a name has addresses before their servers
    answer, and who fails at once has the least in flight.
    """
    readiness = upstream.readiness
    check = {
        # without an authority it is the cluster's name, which no host may have
        "grpc_health_check": {"service_name": readiness.service, "authority": upstream.host},
        "timeout": f"{readiness.timeout}s",
        "interval": READY_INTERVAL,
        "no_traffic_interval": READY_INTERVAL,
        "unhealthy_threshold": readiness.failures,
        "healthy_threshold": 1,
    }
    # An address that the name has no more is left at once, not when it ceases to answer.
    return {"health_checks": [check], "ignore_health_on_host_removal": True}


def _client_tls(account: str, namespace: str) -> Config:
    expected = known_as({"exact": principal(account, namespace)})
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{TYPE}.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "common_tls_context": certificates() | {"validation_context": expected},
        },
    }


def _limits(pool: Mapping[str, Any]) -> Config:
    return {
        "max_connections": pool["tcp"]["maxConnections"],
        "max_requests": pool["http"]["http2MaxRequests"],
        "max_pending_requests": pool["http"]["http1MaxPendingRequests"],
    }


def _outliers(given: Mapping[str, Any]) -> Config:
    if unknown := given.keys() - OUTLIERS.keys():
        raise PolicyError(f"outlierDetection has {sorted(unknown)}, which is not known here")
    made: Config = {OUTLIERS[key]: value for key, value in given.items()}
    enforced = {
        "enforcing_consecutive_gateway_failure": 100,
        "enforcing_consecutive_local_origin_failure": 100,
    }
    # What Istio does where consecutive5xxErrors is left out: INTERNAL is no sign of a bad replica.
    return made | enforced | {"enforcing_consecutive_5xx": 0, "enforcing_success_rate": 0}


def _http2() -> Config:
    options = f"{TYPE}.extensions.upstreams.http.v3.HttpProtocolOptions"
    return {
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": options,
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        }
    }


def _endpoints(name: str, host: str, port: int) -> Config:
    address = {"socket_address": {"address": host, "port_value": port}}
    endpoint = {"lb_endpoints": [{"endpoint": {"address": address}}]}
    return {"cluster_name": name, "endpoints": [endpoint]}
