"""Faults that an operator's slip would make, each seeded into objects that have none."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from tests.k8s.cluster import Cluster, containers, pod, server
from tests.k8s.rendering import Components

Break = Callable[[Cluster], None]


@dataclass(frozen=True, slots=True)
class Fault:
    """How something is broken, a piece of what must be said about it, and what it is seeded into.

    That is the production overlay, or the base with these components.
    """

    name: str
    seed: Break
    said: str
    components: Components = ()


def _pod(field: str, value: Any) -> Break:
    return lambda cluster: pod(cluster.named("Deployment", "tokenizer")).update({field: value})


def _server(service: str, change: Callable[[Any], None]) -> Break:
    return lambda cluster: change(server(cluster.named("Deployment", service)))


def spec(kind: str, name: str, change: Callable[[Any], None]) -> Break:
    return lambda cluster: change(cluster.named(kind, name)["spec"])


def without(kind: str, name: str) -> Break:
    def seed(cluster: Cluster) -> None:
        found = cluster.named(kind, name)
        objects: Any = cluster.objects
        objects.remove(found)

    return seed


def setting(key: str, value: str) -> Break:
    def seed(cluster: Cluster) -> None:
        for one in cluster.of("ConfigMap"):
            if one["metadata"]["name"].startswith("gateway-settings-"):
                one["data"][key] = value

    return seed


def _no_limits(cluster: Cluster) -> None:
    for container in containers(cluster.named("Deployment", "postprocess")):
        del container["resources"]["limits"]["memory"]


def _rule(change: Callable[[Any], None]) -> Break:
    return lambda cluster: change(
        cluster.named("PrometheusRule", "triptych-alerts")["spec"]["groups"][0]["rules"][0]
    )


def _trigger(**fields: Any) -> Break:
    return spec("ScaledObject", "encoder", lambda it: it["triggers"][0].update(fields))


def _http(name: str, number: int, change: Callable[[Any], None]) -> Break:
    return spec("VirtualService", name, lambda it: change(it["http"][number]))


def _operation(field: str, value: Any) -> Break:
    return spec(
        "AuthorizationPolicy",
        "encoder",
        lambda it: it["rules"][0]["to"][0]["operation"].update({field: value}),
    )


FAULTS: Final = (
    # pods
    Fault("root", _pod("securityContext", {"runAsUser": 0}), "may run as root"),
    Fault("token", _pod("automountServiceAccountToken", True), "mounts a token"),
    Fault("default account", _pod("serviceAccountName", "default"), "serviceAccountName"),
    Fault(
        "writable root",
        _server("encoder", lambda one: one["securityContext"].pop("readOnlyRootFilesystem")),
        "writes to its root",
    ),
    Fault("no limits", _no_limits, "no limits of memory"),
    Fault(
        "card that nobody uses",
        _server("encoder", lambda one: one.pop("env")),
        "computes on cpu, with a card",
    ),
    Fault(
        "health of a service that is none",
        _server("encoder", lambda one: one["readinessProbe"]["grpc"].update(service="triptych")),
        "readinessProbe: service triptych",
    ),
    Fault(
        "probe of a port that is none",
        _server("gateway", lambda one: one["livenessProbe"]["httpGet"].update(port="metrics")),
        "livenessProbe: port metrics",
    ),
    Fault("killed while it drains", _pod("terminationGracePeriodSeconds", 10), "is killed before"),
    Fault("typo in a field", _pod("terminationGracePeriodSecond", 31), "TerminationGracePeriod"),
    Fault(
        "number where text belongs",
        lambda cluster: cluster.named("Deployment", "gateway")["metadata"]["labels"].update(x=1),
        "not of type",
    ),
    # references
    Fault(
        "wrong port",
        spec("Service", "encoder", lambda it: it["ports"][0].update(targetPort="http2")),
        "port http2 is nobody's",
    ),
    Fault(
        "selector of nothing",
        spec("Service", "tokenizer", lambda it: it["selector"].update(app="tokenizer")),
        "selects nothing",
    ),
    Fault(
        "ConfigMap without its hash",
        _server("gateway", lambda one: one["envFrom"][0].update(configMapRef={"name": "settings"})),
        "no ConfigMap settings",
    ),
    Fault("no such setting", setting("TRIPTYCH_GATHERING_WINDOW", "9"), "is no setting"),
    Fault(
        "setting out of bounds",
        setting("TRIPTYCH_STAGES_RESOLVE_INTERVAL", "0"),
        "below its minimum",
    ),
    Fault(
        "stage that is nowhere",
        setting("TRIPTYCH_STAGES_ENCODER", "encoders-mesh:50051"),
        "no Service encoders-mesh",
    ),
    Fault(
        "image by tag",
        _server("gateway", lambda one: one.update(image="triptych/gateway:1")),
        "image triptych/gateway:1",
    ),
    Fault("no budget", without("PodDisruptionBudget", "encoder"), "no PodDisruptionBudget"),
    # network policies
    Fault("no default deny", without("NetworkPolicy", "default-deny"), "denied by default"),
    Fault("stages shut", without("NetworkPolicy", "stages"), "nobody may reach port grpc"),
    Fault("no names", without("NetworkPolicy", "dns"), "ask for names"),
    # mesh
    Fault(
        "callers without identity",
        spec("PeerAuthentication", "default", lambda it: it["mtls"].update(mode="PERMISSIVE")),
        "PERMISSIVE",
    ),
    Fault("all methods", _operation("paths", ["/*"]), "methods are"),
    Fault("unguarded service", without("AuthorizationPolicy", "postprocess"), "no Authorization"),
    Fault(
        "typo in a definition's field",
        spec("DestinationRule", "encoder", lambda it: it.update(trafficPolcy={})),
        "trafficPolcy",
    ),
    Fault(
        "retries of the mesh",
        _http("encoder", 1, lambda route: route.update(retries={"attempts": 2})),
        "is repeated by the mesh",
    ),
    Fault(
        "host that is none",
        _http("encoder", 1, lambda route: route["route"][0]["destination"].update(host="none")),
        "no such Service",
    ),
    Fault(
        "weights that are not all",
        _http("tokenizer", 1, lambda route: route["route"][0].update(weight=90)),
        "weights are",
    ),
    Fault("short timeout", _http("encoder", 1, lambda route: route.update(timeout="30s")), "ends"),
    Fault(
        "way in that is not admitted",
        spec("Gateway", "triptych", lambda it: it.pop("infrastructure")),
        "admits none of its pods",
    ),
    # monitoring and scaling
    Fault(
        "metric that nobody exports",
        _rule(lambda rule: rule.update(expr="triptych_encoder_queue_tokens > 1")),
        "nobody exports triptych_encoder_queue_tokens",
    ),
    Fault("query that is none", _rule(lambda rule: rule.update(expr="sum(up")), "promtool"),
    Fault(
        "no runbook",
        _rule(lambda rule: rule["annotations"].update(runbook_url="https://example.com")),
        "no runbook",
    ),
    Fault("average of the wrong thing", _trigger(metricType="Value"), "grows with the replicas"),
    Fault(
        "two in command",
        spec("Deployment", "encoder", lambda it: it.update(replicas=3)),
        "sets the replicas",
    ),
    Fault(
        "target that is none",
        spec("ScaledObject", "encoder", lambda it: it["scaleTargetRef"].update(name="enc")),
        "no Deployment enc",
    ),
)
