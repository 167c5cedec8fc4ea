"""The proxies of one machine are made of the cluster's policy, and of nothing beside it."""

import functools
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from deploy.mesh.identities import FILES, issue
from deploy.mesh.policy import Policies, PolicyError, principal
from deploy.mesh.proxies import STAGES, proxies
from tests.k8s.checks.mesh import CALLERS, methods
from tests.k8s.cluster import Cluster
from tests.k8s.rendering import MANIFESTS, render

MESH = MANIFESTS.parent / "mesh"


@functools.cache
def policy(name: str) -> Cluster:
    return render(MESH / name)


def made(cluster: Cluster) -> dict[str, Any]:
    return dict(proxies(Policies(cluster.objects)))


def listener(bootstrap: Any, name: str) -> Any:
    (found,) = (one for one in bootstrap["static_resources"]["listeners"] if one["name"] == name)
    return found["filter_chains"][0]


def manager(bootstrap: Any, name: str) -> Any:
    return listener(bootstrap, name)["filters"][0]["typed_config"]


def cluster_of(bootstrap: Any, name: str) -> Any:
    (found,) = (one for one in bootstrap["static_resources"]["clusters"] if one["name"] == name)
    return found


@pytest.mark.parametrize(("service", "caller"), CALLERS.items())
def test_a_proxy_admits_the_caller_of_its_service_to_each_method(service: str, caller: str) -> None:
    rbac = manager(made(policy("policy"))[service], "inbound_50051")["http_filters"][0]
    assert rbac["name"] == "envoy.filters.http.rbac"
    rules = rbac["typed_config"]["rules"]
    assert rules["action"] == "ALLOW"
    (rule,) = rules["policies"].values()
    (wanted,) = rule["permissions"]
    verbs, paths = (one["or_rules"]["rules"] for one in wanted["and_rules"]["rules"])
    assert [one["header"]["string_match"]["exact"] for one in verbs] == ["POST"]
    assert [one["url_path"]["path"]["exact"] for one in paths] == methods(service)
    assert rule["principals"] == [
        {"authenticated": {"principal_name": {"exact": principal(caller, "triptych")}}}
    ]


@pytest.mark.parametrize("service", CALLERS)
def test_a_proxy_takes_no_caller_without_a_certificate(service: str) -> None:
    socket = listener(made(policy("policy"))[service], "inbound_50051")["transport_socket"]
    assert socket["typed_config"]["require_client_certificate"] is True
    context = socket["typed_config"]["common_tls_context"]["validation_context"]
    (name,) = context["match_typed_subject_alt_names"]
    assert name == {"san_type": "URI", "matcher": {"prefix": "spiffe://cluster.local/"}}


def test_weights_headers_and_copies_are_the_routes_own() -> None:
    gateway = made(policy("trial"))["gateway"]
    routes = manager(gateway, "postprocess-mesh")["route_config"]["virtual_hosts"][0]["routes"]
    assert [one["name"] for one in routes] == ["health", "canary", "calls"]
    assert routes[0]["route"]["timeout"] == "2s"
    (header,) = routes[1]["match"]["headers"]
    assert (header["name"], header["string_match"]) == (
        "x-triptych-canary", {"exact": "postprocess"},
    )  # fmt: skip
    weights = {
        one["name"]: one["weight"] for one in routes[2]["route"]["weighted_clusters"]["clusters"]
    }
    assert weights == {
        "outbound|50051||postprocess-mesh": 90,
        "outbound|50051||postprocess-canary": 10,
    }
    routes = manager(gateway, "tokenizer-mesh")["route_config"]["virtual_hosts"][0]["routes"]
    (mirror,) = routes[-1]["route"]["request_mirror_policies"]
    assert mirror["cluster"] == "outbound|50051||tokenizer-canary"
    share = mirror["runtime_fraction"]["default_value"]
    assert share == {"numerator": 100_000, "denominator": "MILLION"}


def test_traffic_is_that_of_the_destination_rule() -> None:
    objects = policy("policy").copy()
    traffic = objects.named("DestinationRule", "encoder")["spec"]["trafficPolicy"]
    traffic["outlierDetection"]["maxEjectionPercent"] = 30
    traffic["connectionPool"]["http"]["http2MaxRequests"] = 7
    found = cluster_of(made(objects)["gateway"], "outbound|50051||encoder-mesh")
    assert found["lb_policy"] == "LEAST_REQUEST"
    assert found["outlier_detection"]["max_ejection_percent"] == 30
    assert found["circuit_breakers"]["thresholds"][0]["max_requests"] == 7


def test_who_is_called_is_ready_by_the_probe_of_its_deployment() -> None:
    objects = policy("policy").copy()
    (server,) = objects.named("Deployment", "encoder")["spec"]["template"]["spec"]["containers"]
    probe = server["readinessProbe"]
    probe |= {"timeoutSeconds": 2, "failureThreshold": 4}
    (check,) = cluster_of(made(objects)["gateway"], "outbound|50051||encoder-mesh")["health_checks"]
    assert check["grpc_health_check"]["service_name"] == "triptych.v1.EncoderService"
    assert (check["timeout"], check["unhealthy_threshold"]) == ("2s", 4)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_calls_nobody(stage: str) -> None:
    resources = made(policy("policy"))[stage]["static_resources"]
    assert [one["name"] for one in resources["clusters"]] == ["inbound|50051||", "admin"]


def test_what_no_proxy_could_keep_is_refused() -> None:
    attempts = policy("policy").copy()
    attempts.named("VirtualService", "encoder")["spec"]["http"][1]["retries"] = {"attempts": 2}
    lenient = policy("policy").copy()
    lenient.named("PeerAuthentication", "default")["spec"]["mtls"]["mode"] = "PERMISSIVE"
    unknown = policy("policy").copy()
    unknown.named("DestinationRule", "encoder")["spec"]["trafficPolicy"]["outlierDetection"][
        "minHealthPercent"
    ] = 50
    for broken, said in (
        (attempts, "attempts"),
        (lenient, "STRICT"),
        (unknown, "minHealthPercent"),
    ):
        with pytest.raises(PolicyError, match=said):
            made(broken)


def test_identities_are_of_one_authority_and_kept(tmp_path: Path) -> None:
    identities = {name: principal(name, "triptych") for name in ("gateway", "encoder")}
    assert issue(tmp_path, identities, None)
    assert not issue(tmp_path, identities, None)
    for name, uri in identities.items():
        content = (tmp_path / name / FILES[0]).read_bytes()
        certificate = x509.load_pem_x509_certificate(content)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        assert names.value.get_values_for_type(x509.UniformResourceIdentifier) == [uri]
        context = ssl.create_default_context(cafile=str(tmp_path / "gateway" / FILES[2]))
        context.load_cert_chain(tmp_path / name / FILES[0], tmp_path / name / FILES[1])
        assert (tmp_path / name / FILES[1]).stat().st_mode & 0o077 == 0
    # one more of the same authority cannot be: its key is gone, and all are made anew
    assert issue(tmp_path, identities | {"tokenizer": principal("tokenizer", "triptych")}, None)
