"""Expressions: of metrics that a platform exports or a rule records, read by Prometheus itself."""

import re
import subprocess
import tempfile
from collections.abc import Iterator, Set
from pathlib import Path
from typing import Any, Final

import yaml

from tests.k8s.cluster import Cluster, name_of

NAME: Final = re.compile(r"\b(?:triptych|istio)[_:][\w:]*(?:\|\w+)*")
# Not ours: Istio's own metric, for refusals.
FOREIGN: Final = {"istio_requests_total"}
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
    known = exported | recorded(cluster) | FOREIGN
    for place, expression in expressions(cluster):
        for found in NAME.findall(expression):
            for name in found.split("|"):
                if name not in known:
                    yield f"{place}: nobody exports {name}"


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
    """The rules as Prometheus reads them; queries of autoscalers are rules, too."""
    groups = [group for one in cluster.of("PrometheusRule") for group in one["spec"]["groups"]]
    asked: list[dict[str, Any]] = [
        {"record": f"query:{index}", "expr": trigger["metadata"]["query"]}
        for one in cluster.of("ScaledObject")
        for index, trigger in enumerate(one["spec"]["triggers"])
    ]
    file = folder / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [*groups, {"name": "queries", "rules": asked}]}))
    return file


def syntax(cluster: Cluster) -> Iterator[str]:
    """What Prometheus says against the expressions."""
    if not cluster.of("PrometheusRule", "ScaledObject"):
        return
    with tempfile.TemporaryDirectory(prefix="triptych-rules-") as folder:
        file = rule_files(cluster, Path(folder))
        command = ["promtool", "check", "rules", "--lint=all", str(file)]
        outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    if outcome.returncode:
        yield f"promtool: {outcome.stderr.strip() or outcome.stdout.strip()}"


def _headings() -> list[str]:
    return [line for line in GUIDE.read_text().splitlines() if line.startswith("#")]
