"""What the compose files, the images and the build context are, before anything runs."""

import io
import itertools
import json
import tarfile
import tomllib
from typing import Any

import pytest

from tests.e2e.conftest import Report
from tests.e2e.engine import CLONE, LAYERS, SERVICES, Project, docker
from tests.e2e.sizes import compressed, tar_of_context

COMBINATIONS = [
    chosen for count in range(len(LAYERS) + 1) for chosen in itertools.combinations(LAYERS, count)
]
# Compressed bytes beyond the base image.
LARGEST = {"gateway": 45e6, "tokenizer": 40e6, "postprocess": 45e6, "encoder": 90e6}
LARGEST_CONTEXT = 5e6


def config(*layers: str, **environment: str) -> dict[str, Any]:
    return Project("triptych-e2e-config", layers, environment).config()


@pytest.mark.parametrize("layers", COMBINATIONS, ids=lambda layers: "+".join(layers) or "alone")
def test_every_combination_of_layers_is_valid(layers: tuple[str, ...], engine: str) -> None:
    assert set(SERVICES) < set(config(*layers)["services"])


def test_every_tag_is_the_version_of_the_project(engine: str) -> None:
    version = tomllib.loads((CLONE / "pyproject.toml").read_text())["project"]["version"]
    for name, service in config()["services"].items():
        assert service["image"] == f"triptych/{name}:{version}"
        assert service["build"]["args"]["VERSION"] == version


def test_everything_is_published_on_the_loopback_address_only(engine: str) -> None:
    services = config("observability")["services"]
    ports = [port for service in services.values() for port in service.get("ports", ())]
    assert len(ports) == 6
    assert {port["host_ip"] for port in ports} == {"127.0.0.1"}
    gateway = {
        port["target"]: port["published"] for port in config()["services"]["gateway"]["ports"]
    }
    assert gateway == {8080: "8080", 50051: "8081"}


def test_the_gpu_layer_reserves_a_device_and_changes_the_runtime(engine: str) -> None:
    encoder = config("gpu")["services"]["encoder"]
    assert encoder["build"]["args"]["ACCELERATOR"] == "gpu"
    assert encoder["image"].endswith("-gpu")
    (device,) = encoder["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    assert encoder["environment"]["TRIPTYCH_RUNTIME_DEVICE"] == "cuda"
    models = config("gpu")["services"]["models"]
    assert (models["build"]["args"]["TARGET"], models["image"][-4:]) == ("gpu", "-gpu")


def test_another_runtime_is_another_image_of_the_encoder_alone(engine: str) -> None:
    plain = config()["services"]
    other = config(ACCELERATOR="openvino", TRIPTYCH_RUNTIME_PRECISION="bf16")["services"]
    assert [name for name in plain if plain[name] != other[name]] == ["encoder"]
    encoder = other["encoder"]
    assert encoder["build"]["args"]["ACCELERATOR"] == "openvino"
    assert encoder["image"] == f"{plain['encoder']['image']}-openvino"
    assert encoder["environment"]["TRIPTYCH_RUNTIME_PRECISION"] == "bf16"


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_is_no_larger_than_it_may_be(service: str, images: None, report: Report) -> None:
    image = config()["services"][service]["image"]
    base = config()["services"][service]["build"]["args"]["PYTHON_IMAGE"]
    size = compressed(image, base)
    report(f"{service:<12} {size / 1e6:5.1f} MB compressed beyond {base}")
    assert size <= LARGEST[service]


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_says_what_it_is_and_how_it_is(service: str, images: None) -> None:
    image = config()["services"][service]["image"]
    facts = json.loads(docker("image", "inspect", image))[0]["Config"]
    prefix = "org.opencontainers.image"
    assert facts["Labels"][f"{prefix}.version"] == image.partition(":")[2]
    assert facts["Labels"][f"{prefix}.title"] == f"triptych-{service}"
    assert facts["Labels"].keys() >= {f"{prefix}.licenses", f"{prefix}.revision"}
    assert facts["User"] == "10001:10001"
    assert facts["Healthcheck"]["Test"][0] == "CMD"


def test_the_build_context_is_small_and_holds_nothing_made_here(
    engine: str, report: Report
) -> None:
    context = tar_of_context()
    report(f"build context {len(context) / 1e6:.2f} MB")
    assert len(context) < LARGEST_CONTEXT
    with tarfile.open(fileobj=io.BytesIO(context)) as archive:
        names = archive.getnames()
    assert not [name for name in names if "__pycache__" in name or "_pb2" in name]
    assert {name.split("/")[0] for name in names} == {
        "pyproject.toml", "uv.lock", "protos", "libs", "services", "models", "deploy",
    }  # fmt: skip
