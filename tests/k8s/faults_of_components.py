"""Faults in what components add: trials, ambient mode, traces, counting, scaling, dashboards."""

import json
from collections.abc import Callable
from typing import Any, Final

from tests.k8s.cluster import Cluster
from tests.k8s.faults import Break, Fault, setting, spec, without

TRIAL: Final = ("istio/sidecar", "canary/gateway", "canary/encoder")
AMBIENT: Final = ("istio/ambient", "canary/gateway", "mirror/encoder")
TRACES: Final = ("istio/sidecar", "istio/traces", "network-policies", "network-policies/traces")
STORE: Final = ("object-store", "istio/sidecar", "istio/object-store")


def _panel(change: Callable[[Any], None]) -> Break:
    def seed(cluster: Cluster) -> None:
        data = cluster.named("ConfigMap", "triptych-dashboard")["data"]
        ((name, content),) = data.items()
        dashboard = json.loads(content)
        change(next(one for one in dashboard["panels"] if one["type"] != "row")["targets"][0])
        data[name] = json.dumps(dashboard)

    return seed


def _rule(number: int, change: Callable[[Any], None]) -> Break:
    return spec("HTTPRoute", "encoder", lambda route: change(route["rules"][number]))


def _traffic(name: str, change: Callable[[Any], None]) -> Break:
    return spec("DestinationRule", name, lambda rule: change(rule["trafficPolicy"]))


def _second_route(cluster: Cluster) -> None:
    route = {"name": "calls", "route": [{"destination": {"host": "encoder-mesh"}}]}
    named = {"name": "encoder", "namespace": "triptych"}
    objects: Any = cluster.objects
    objects.append(
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "VirtualService",
            "metadata": named,
            "spec": {"hosts": ["encoder-mesh"], "http": [route]},
        }
    )


MORE_FAULTS: Final = (
    # what is in flight to a mesh
    Fault(
        "pods that are not counted",
        setting("TRIPTYCH_STAGES_ENCODER_PODS", ""),
        "no Service is named",
    ),
    Fault(
        "pods counted by an address",
        setting("TRIPTYCH_STAGES_ENCODER_PODS", "encoder-mesh:50051"),
        "encoder-mesh has one address",
    ),
    Fault(
        "pods of another stage",
        setting("TRIPTYCH_STAGES_ENCODER_PODS", "tokenizer:50051"),
        "has other pods",
    ),
    # releases on trial
    Fault(
        "way in without limits",
        without("DestinationRule", "gateway-canary"),
        "Service/gateway-canary: no DestinationRule",
        TRIAL,
    ),
    Fault(
        "canary among the others",
        spec("Service", "encoder-mesh", lambda it: it["selector"].pop("triptych.dev/track")),
        "has the pods of every track",
        TRIAL,
    ),
    Fault(
        "canary that nobody is in",
        spec("Service", "encoder-canary", lambda it: it["selector"].update(app="encoder")),
        "encoder-canary: no pods",
        TRIAL,
    ),
    # ambient
    Fault("two kinds of routes", _second_route, "takes routes of the Gateway API", AMBIENT),
    Fault("no route", without("HTTPRoute", "tokenizer"), "has 0 routes", AMBIENT),
    Fault(
        "watch without an end",
        _rule(0, lambda rule: rule.pop("timeouts")),
        "outlive its pod's place",
        AMBIENT,
    ),
    Fault(
        "copies to nobody",
        without("Service", "encoder-canary"),
        "encoder-canary: no such Service",
        AMBIENT,
    ),
    Fault(
        "attempts without a bound",
        _traffic("encoder", lambda policy: policy["connectionPool"]["http"].pop("maxRetries")),
        "attempts are not bounded",
        AMBIENT,
    ),
    Fault(
        "canary that no waypoint judges",
        without("AuthorizationPolicy", "gateway-canary"),
        "no AuthorizationPolicy at the waypoint",
        AMBIENT,
    ),
    # what leaves the namespace
    Fault("spans that are shut in", without("NetworkPolicy", "traces"), "do not get out", TRACES),
    Fault(
        "collector that no sidecar knows",
        spec("Sidecar", "default", lambda it: it["egress"][0].update(hosts=["./*"])),
        "does not know the collector",
        TRACES,
    ),
    Fault(
        "store of another region",
        spec("ServiceEntry", "object-store", lambda it: it.update(hosts=["s3.amazonaws.com"])),
        "does not know the store",
        STORE,
    ),
    # monitoring and scaling
    Fault(
        "proxies that nobody scrapes",
        without("PodMonitor", "proxies"),
        "nobody exports istio_requests_total",
    ),
    Fault(
        "pools that no scrape tells apart",
        spec("PodMonitor", "triptych", lambda it: it["podMetricsEndpoints"][0].pop("relabelings")),
        "no scrape gives the label pool",
    ),
    Fault(
        "fallback put to rest by every apply",
        spec("Deployment", "encoder-cpu", lambda it: it.update(replicas=0)),
        "sets the replicas of encoder-cpu back",
    ),
    Fault(
        "panel of a metric that nobody exports",
        _panel(lambda target: target.update(expr="rate(triptych_gateway_request_total[5m])")),
        "nobody exports triptych_gateway_request_total",
    ),
    Fault(
        "panel that asks nothing",
        _panel(lambda target: target.update(expr='sum(up{namespace=~"$namespace")')),
        "promtool",
    ),
)
