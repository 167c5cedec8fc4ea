"""What rendered Istio objects say of one service: who may call what, and how it is called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Object = Mapping[str, Any]

# Istio's default: what it calls identities where nobody names another domain.
TRUST_DOMAIN: Final = "cluster.local"


class PolicyError(ValueError):
    """An object says what no proxy is made of here; the message names it."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Callers that may call paths of a port by methods; no paths means all of them."""

    principals: Sequence[str]
    port: int
    methods: Sequence[str]
    paths: Sequence[str]


@dataclass(frozen=True, slots=True)
class Destination:
    """A host and its share of the calls, or of their copies, in per cent."""

    host: str
    share: float


@dataclass(frozen=True, slots=True)
class Route:
    """The first that matches has the call: by the beginning of its path, by a header, or any."""

    name: str
    prefix: str
    header: tuple[str, str] | None
    timeout: str
    destinations: Sequence[Destination]
    mirror: Destination | None


@dataclass(frozen=True, slots=True)
class Readiness:
    """How the pods behind a host are asked whether they may be called: what is asked for, seconds
    that an answer may take, and how many times in a row it may be missing.
    """

    service: str
    timeout: int
    failures: int


@dataclass(frozen=True, slots=True)
class Upstream:
    """A host that can be called: its service account, its traffic policy, its pods, its ways."""

    host: str
    account: str
    traffic: Mapping[str, Any]
    readiness: Readiness
    routes: Sequence[Route]

    def hosts(self) -> list[str]:
        """Where its ways lead, copies too: each host once."""
        ways = [way for route in self.routes for way in (*route.destinations, route.mirror) if way]
        return list(dict.fromkeys(way.host for way in ways))


class Policies:
    """The rendered objects, by kind. Raises PolicyError for what it is asked and cannot read."""

    def __init__(self, objects: Sequence[Object]) -> None:
        self._objects = objects

    def rules(self, service: str) -> list[Rule]:
        """What may be called of a service. Raises PolicyError without a default of denial."""
        policies = list(self._of("AuthorizationPolicy"))
        if not any(one["spec"] == {} for one in policies):
            raise PolicyError("no AuthorizationPolicy denies by default")
        wanted = {"app.kubernetes.io/name": service}
        found = [one for one in policies if _selector(one) == wanted]
        return [rule for one in found for rule in _rules(one)]

    def upstream(self, host: str) -> Upstream:
        """How a host is called."""
        rule = self._one("DestinationRule", lambda one: one["spec"]["host"] == host)
        service = self._one("Service", lambda one: one["metadata"]["name"] == host)
        account = service["spec"]["selector"]["app.kubernetes.io/name"]
        return Upstream(
            host=host,
            account=account,
            traffic=rule["spec"]["trafficPolicy"],
            readiness=self._readiness(account),
            routes=[_route(one) for one in self._http(host)],
        )

    def entrance_timeout(self) -> str:
        """How long the way in waits for an answer of the gateway."""
        route = self._one("HTTPRoute", lambda one: one["metadata"]["name"] == "gateway")
        return str(route["spec"]["rules"][0]["timeouts"]["request"])

    def is_strict(self) -> bool:
        """Whether callers need a certificate wherever no port is exempt."""
        default = self._one("PeerAuthentication", lambda one: one["metadata"]["name"] == "default")
        return bool(default["spec"]["mtls"]["mode"] == "STRICT")

    def _readiness(self, account: str) -> Readiness:
        deployment = self._one("Deployment", lambda one: one["metadata"]["name"] == account)
        (server,) = deployment["spec"]["template"]["spec"]["containers"]
        probe = server["readinessProbe"]
        return Readiness(
            service=probe["grpc"]["service"],
            timeout=probe["timeoutSeconds"],
            failures=probe["failureThreshold"],
        )

    def _http(self, host: str) -> list[Any]:
        found = (one for one in self._of("VirtualService") if host in one["spec"]["hosts"])
        return [http for one in found for http in one["spec"]["http"]]

    def _of(self, kind: str) -> Iterator[Object]:
        return (one for one in self._objects if one["kind"] == kind)

    def _one(self, kind: str, matches: Any) -> Object:
        found = [one for one in self._of(kind) if matches(one)]
        if len(found) != 1:
            raise PolicyError(f"{len(found)} objects of kind {kind} where one is expected")
        return found[0]


def principal(account: str, namespace: str) -> str:
    """The SPIFFE identity of a service account."""
    return f"spiffe://{TRUST_DOMAIN}/ns/{namespace}/sa/{account}"


def _selector(policy: Object) -> Any:
    return policy["spec"].get("selector", {}).get("matchLabels")


def _rules(policy: Object) -> Iterator[Rule]:
    namespace = policy["metadata"]["namespace"]
    for rule in policy["spec"]["rules"]:
        principals = [
            principal(account, namespace)
            for one in rule["from"]
            for account in one["source"]["serviceAccounts"]
        ]
        for to in rule["to"]:
            operation = to["operation"]
            for port in operation["ports"]:
                yield Rule(principals, int(port), operation["methods"], operation.get("paths", []))


def _route(http: Object) -> Route:
    if http["retries"] != {"attempts": 0}:
        raise PolicyError(f"route {http['name']} has attempts, which are the gateway's alone")
    prefix, header = _match(http.get("match", []), http["name"])
    mirror = http.get("mirror")
    copies = http.get("mirrorPercentage", {}).get("value", 100)
    return Route(
        name=http["name"],
        prefix=prefix,
        header=header,
        timeout=http["timeout"],
        destinations=[
            Destination(one["destination"]["host"], one.get("weight", 100)) for one in http["route"]
        ],
        mirror=Destination(mirror["host"], copies) if mirror else None,
    )


def _match(matches: Sequence[Any], route: str) -> tuple[str, tuple[str, str] | None]:
    match matches:
        case []:
            return "/", None
        case [{"uri": {"prefix": str(prefix)}, **rest}] if not rest:
            return prefix, None
        case [{"headers": dict(headers), **rest}] if not rest and len(headers) == 1:
            ((name, value),) = headers.items()
            return "/", (name, value["exact"])
    raise PolicyError(f"route {route} matches in a way that is not known here")
