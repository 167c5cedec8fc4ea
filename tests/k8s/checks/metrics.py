"""Expressions: of metrics that a platform exports or a rule records, read by Prometheus itself."""

import json
import re
import subprocess
import tempfile
from collections.abc import Iterator, Set
from pathlib import Path
from typing import Any, Final

import yaml

from tests.k8s.cluster import Cluster, name_of

NAME: Final = re.compile(r"\b(?:triptych|istio|process)[_:][\w:]*(?:\|\w+)*")
# Not ours: Istio's own metric, for refusals. It is there where a PodMonitor keeps it.
FOREIGN: Final = "istio_requests_total"
# What Grafana puts in the place of its variables.
VARIABLES: Final = {"$__rate_interval": "5m", "$namespace": ".*"}
# Labels that are a scrape's and not a metric's, in what an expression selects by.
LABEL: Final = re.compile(r"\b(pool|track)[!=]~?\"")
GUIDE: Final = Path(__file__).parents[3] / "docs/kubernetes.md"


def expressions(cluster: Cluster) -> Iterator[tuple[str, str]]:
    """Every PromQL expression with the name of what has it."""
    for one in cluster.of("PrometheusRule"):
        for group in one["spec"]["groups"]:
            for rule in group["rules"]:
                yield f"{name_of(one)}: {rule.get('alert', rule.get('record'))}", rule["expr"]
    for one in cluster.of("ScaledObject"):
        for trigger in one["spec"]["triggers"]:
            yield f"{name_of(one)}: {trigger['name']}", trigger["metadata"]["query"]
    for one in dashboards(cluster):
        for panel in (it for it in one["panels"] if it["type"] != "row"):
            for target in panel["targets"]:
                yield f"Dashboard/{one['uid']}: {panel['title']}", substituted(target["expr"])


def dashboards(cluster: Cluster) -> list[Any]:
    """What Grafana's sidecar would take."""
    return [
        json.loads(content)
        for one in cluster.of("ConfigMap")
        if one["metadata"].get("labels", {}).get("grafana_dashboard") == "1"
        for content in one["data"].values()
    ]


def substituted(expression: str) -> str:
    """A panel's expression as Prometheus gets it."""
    for variable, value in VARIABLES.items():
        expression = expression.replace(variable, value)
    return expression


def recorded(cluster: Cluster) -> set[str]:
    """What rules record."""
    return {
        rule["record"]
        for one in cluster.of("PrometheusRule")
        for group in one["spec"]["groups"]
        for rule in group["rules"]
        if "record" in rule
    }


def names(cluster: Cluster, exported: Set[str]) -> Iterator[str]:
    """Metrics that nobody has."""
    known = exported | recorded(cluster) | set(_kept(cluster))
    for place, expression in expressions(cluster):
        for found in NAME.findall(expression):
            for name in found.split("|"):
                if name not in known:
                    yield f"{place}: nobody exports {name}"


def _kept(cluster: Cluster) -> Iterator[str]:
    for one in cluster.of("PodMonitor"):
        for rule in (it for to in endpoints(one) for it in to.get("metricRelabelings", [])):
            if rule["action"] == "keep" and re.fullmatch(rule["regex"], FOREIGN):
                yield FOREIGN


def endpoints(monitor: Any) -> list[Any]:
    """What a PodMonitor scrapes of each pod."""
    return list(monitor["spec"]["podMetricsEndpoints"])


def labels(cluster: Cluster) -> Iterator[str]:
    """Labels that expressions select by are those that scrapes give."""
    monitors = cluster.of("PodMonitor")
    given = {
        rule["targetLabel"]
        for one in monitors
        for to in endpoints(one)
        for rule in to.get("relabelings", [])
    }
    for place, expression in expressions(cluster) if monitors else ():
        for name in set(LABEL.findall(expression)) - given:
            yield f"{place}: no scrape gives the label {name}"


def runbooks(cluster: Cluster) -> Iterator[str]:
    """Alerts that say how bad it is, and lead to a heading of the guide."""
    headings = {line.lstrip("# ").strip().lower() for line in _headings()}
    for one in cluster.of("PrometheusRule"):
        for group in one["spec"]["groups"]:
            for rule in group["rules"]:
                if "alert" not in rule:
                    continue
                anchor = rule["annotations"]["runbook_url"].partition("#")[2]
                if anchor != rule["alert"].lower() or anchor not in headings:
                    yield f"{name_of(one)}: {rule['alert']}: no runbook {anchor}"
                if rule["labels"].get("severity") not in ("page", "ticket"):
                    yield f"{name_of(one)}: {rule['alert']}: no severity"


def rule_files(cluster: Cluster, folder: Path) -> Path:
    """The rules as Prometheus reads them; what autoscalers and dashboards ask are rules, too."""
    groups = [group for one in cluster.of("PrometheusRule") for group in one["spec"]["groups"]]
    others = [found for found in expressions(cluster) if not found[0].startswith("PrometheusRule")]
    asked: list[dict[str, Any]] = [
        {"record": f"query:{index}", "expr": expression}
        for index, (_, expression) in enumerate(others)
    ]
    file = folder / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [*groups, {"name": "queries", "rules": asked}]}))
    return file


def syntax(cluster: Cluster) -> Iterator[str]:
    """What Prometheus says against the expressions."""
    if not any(True for _ in expressions(cluster)):
        return
    with tempfile.TemporaryDirectory(prefix="triptych-rules-") as folder:
        file = rule_files(cluster, Path(folder))
        command = ["promtool", "check", "rules", "--lint=all", str(file)]
        outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    if outcome.returncode:
        yield f"promtool: {outcome.stderr.strip() or outcome.stdout.strip()}"


def _headings() -> list[str]:
    return [line for line in GUIDE.read_text().splitlines() if line.startswith("#")]
