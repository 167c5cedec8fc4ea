"""The Job that fine-tunes: valid, confined, bounded, and ended by what no repetition mends."""

from pathlib import Path
from typing import Any

import pytest

from tests.k8s import schemas
from tests.k8s.checks.pods import confined
from tests.k8s.cluster import Object, name_of, pod
from tests.k8s.rendering import Components, combined

ALONE: Components = ("training",)
ON_A_CARD: Components = ("training", "training/gpu")
GUARDED: Components = ("network-policies", "training")
EVERY = [ALONE, ON_A_CARD, GUARDED]


def job(components: Components) -> Object:
    return combined(components).named("Job", "training")


def container(components: Components) -> Any:
    (only,) = pod(job(components))["containers"]
    return only


@pytest.mark.parametrize("components", EVERY)
def test_every_object_is_valid_in_every_version(
    components: Components, schema_folder: Path
) -> None:
    found = schemas.problems(combined(components), schema_folder, schemas.VERSIONS)
    assert list(found) == []


@pytest.mark.parametrize("components", EVERY)
def test_the_pod_is_confined_and_bounded(components: Components) -> None:
    assert list(confined(job(components))) == []
    spec, only = pod(job(components)), container(components)
    assert spec["automountServiceAccountToken"] is False
    assert combined(components).has("ServiceAccount", spec["serviceAccountName"])
    assert {"cpu", "memory"} <= set(only["resources"]["requests"]) & set(
        only["resources"]["limits"]
    )


@pytest.mark.parametrize("components", EVERY)
def test_what_it_mounts_is_there(components: Components) -> None:
    cluster, spec = combined(components), pod(job(components))
    volumes = {one["name"]: one for one in spec["volumes"]}
    assert {one["name"] for one in container(components)["volumeMounts"]} == set(volumes)
    assert cluster.has("ConfigMap", volumes["recipe"]["configMap"]["name"])
    claim = volumes["training"]["persistentVolumeClaim"]["claimName"]
    assert cluster.has("PersistentVolumeClaim", claim)


def test_a_failure_that_stays_ends_the_job_and_a_disruption_does_not() -> None:
    rules = job(ALONE)["spec"]["podFailurePolicy"]["rules"]
    final = next(rule for rule in rules if rule["action"] == "FailJob")
    # what triptych-train exits with for data and for usage
    assert final["onExitCodes"] == {
        "containerName": "train",
        "operator": "In",
        "values": [1, 2],
    }
    disrupted = [{"type": "DisruptionTarget", "status": "True"}]
    assert {"action": "Ignore", "onPodConditions": disrupted} in rules
    assert job(ALONE)["spec"]["podReplacementPolicy"] == "Failed"


def test_only_a_training_on_a_card_asks_for_one() -> None:
    limits = [container(components)["resources"]["limits"] for components in (ALONE, ON_A_CARD)]
    assert ["nvidia.com/gpu" in one for one in limits] == [False, True]
    assert "--device=cuda" in container(ON_A_CARD)["args"]


def test_no_service_is_changed_by_it() -> None:
    plain, more = combined(()), combined(ALONE)
    own = {"Job/training", "PersistentVolumeClaim/training", "ServiceAccount/training"}
    added = [one for one in more.objects if one not in plain.objects]
    names = {name_of(one) for one in added}
    assert own <= names
    assert {name.partition("-recipe")[0] for name in names - own} == {"ConfigMap/training"}
