"""Envoy listeners: what comes in is asked who it is and what it wants; what goes out is routed."""

from collections.abc import Sequence
from typing import Any, Final

from deploy.mesh.clusters import INBOUND, TYPE, Config, certificates, cluster_name, known_as
from deploy.mesh.policy import TRUST_DOMAIN, Route, Rule, Upstream

# Where a proxy listens, inside the pod alone, for calls to each of the stages.
OUTBOUND: Final = {"tokenizer-mesh": 15101, "encoder-mesh": 15102, "postprocess-mesh": 15103}
METRICS_PORT: Final = 15090
METRICS_PATH: Final = "/stats/prometheus"
# Larger than Istio's and Envoy's defaults: a call's tensors are many frames.
STREAM_WINDOW: Final = 1024 * 1024
CONNECTION_WINDOW: Final = 16 * 1024 * 1024


def inbound(port: int, rules: Sequence[Rule]) -> Config:
    """Calls to the server's `port`: by callers with an identity, as far as a rule allows."""
    route = {"match": {"prefix": "/"}, "route": {"cluster": f"inbound|{port}||", "timeout": "0s"}}
    allowed = [rule for rule in rules if rule.port == port]
    made = _listener(f"inbound_{port}", "0.0.0.0", INBOUND[port], [route], [_rbac(allowed)])  # noqa: S104
    made["filter_chains"][0]["transport_socket"] = _server_tls()
    return made


def outbound(upstream: Upstream, port: int) -> Config:
    """Calls of the server beside the proxy to a host."""
    routes = [_route(port, route) for route in upstream.routes]
    return _listener(upstream.host, "127.0.0.1", OUTBOUND[upstream.host], routes, [])


def entrance(upstream: Upstream, port: int, timeout: str) -> Config:
    """Calls of clients to the gateway, in plaintext: this machine alone reaches the port."""
    cluster = cluster_name(upstream.host, port)
    route = {"match": {"prefix": "/"}, "route": {"cluster": cluster, "timeout": timeout}}
    return _listener(f"entrance_{port}", "0.0.0.0", port, [route], [])  # noqa: S104


def metrics() -> Config:
    """The proxy's metrics, and nothing else of its admin listener."""
    route = {"match": {"path": METRICS_PATH}, "route": {"cluster": "admin"}}
    return _listener("metrics", "0.0.0.0", METRICS_PORT, [route], [])  # noqa: S104


def _server_tls() -> Config:
    members = known_as({"prefix": f"spiffe://{TRUST_DOMAIN}/"})
    context = certificates() | {"validation_context": members, "alpn_protocols": ["h2", "http/1.1"]}
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{TYPE}.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "require_client_certificate": True,
            "common_tls_context": context,
        },
    }


def _rbac(rules: Sequence[Rule]) -> Config:
    policies = {str(number): _policy(rule) for number, rule in enumerate(rules)}
    return {
        "name": "envoy.filters.http.rbac",
        "typed_config": {
            "@type": f"{TYPE}.extensions.filters.http.rbac.v3.RBAC",
            "rules": {"action": "ALLOW", "policies": policies},
        },
    }


def _policy(rule: Rule) -> Config:
    methods = [
        {"header": {"name": ":method", "string_match": {"exact": name}}} for name in rule.methods
    ]
    paths: list[Config] = [{"url_path": {"path": {"exact": path}}} for path in rule.paths]
    wanted = [{"or_rules": {"rules": methods}}, {"or_rules": {"rules": paths or [{"any": True}]}}]
    return {
        "permissions": [{"and_rules": {"rules": wanted}}],
        "principals": [
            {"authenticated": {"principal_name": {"exact": one}}} for one in rule.principals
        ],
    }


def _route(port: int, route: Route) -> Config:
    match: Config = {"prefix": route.prefix}
    if route.header:
        name, value = route.header
        match["headers"] = [{"name": name, "string_match": {"exact": value}}]
    ways = [
        {"name": cluster_name(one.host, port), "weight": int(one.share)}
        for one in route.destinations
    ]
    action: Config = {"timeout": route.timeout, "weighted_clusters": {"clusters": ways}}
    if route.mirror:
        share = {"numerator": round(route.mirror.share * 10_000), "denominator": "MILLION"}
        action["request_mirror_policies"] = [
            {
                "cluster": cluster_name(route.mirror.host, port),
                "runtime_fraction": {"default_value": share},
            }
        ]
    return {"name": route.name, "match": match, "route": action}


def _listener(
    name: str, address: str, port: int, routes: Sequence[Config], filters: Sequence[Config]
) -> Config:
    host = {"name": name, "domains": ["*"], "routes": list(routes)}
    manager = {
        "@type": f"{TYPE}.extensions.filters.network.http_connection_manager.v3"
        ".HttpConnectionManager",
        "stat_prefix": name,
        "codec_type": "AUTO",
        "http2_protocol_options": {
            "initial_stream_window_size": STREAM_WINDOW,
            "initial_connection_window_size": CONNECTION_WINDOW,
        },
        "route_config": {"name": name, "virtual_hosts": [host]},
        "http_filters": [*filters, _router()],
    }
    network: Any = {"name": "envoy.filters.network.http_connection_manager"}
    return {
        "name": name,
        "stat_prefix": name,
        "address": {"socket_address": {"address": address, "port_value": port}},
        "filter_chains": [{"filters": [network | {"typed_config": manager}]}],
    }


def _router() -> Config:
    kind = f"{TYPE}.extensions.filters.http.router.v3.Router"
    return {"name": "envoy.filters.http.router", "typed_config": {"@type": kind}}
