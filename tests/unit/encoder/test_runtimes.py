"""Which runtimes may run a bundle, by the setting, the machine, and the bundle's graphs."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from triptych_bundles import Bundle, BundleError, Repository
from triptych_encoder.backend import RaggedBatch
from triptych_encoder.devices import device_of
from triptych_encoder.runtimes import AUTO, BF16, FP32, INT8, REFERENCE, Machine, Runtimes
from triptych_encoder.settings import EncoderSettings
from triptych_servicekit.settings import SettingsError, load

BARE = Machine(openvino=False, bf16=False, vnni=True)
OLDEST = Machine(openvino=True, bf16=False, vnni=False)
OLD = Machine(openvino=True, bf16=False, vnni=True)
NEW = Machine(openvino=True, bf16=True, vnni=True)
ONNX, OPENVINO = "onnxruntime", "openvino"
DYNAMIC: Mapping[str, str] = {"cpu-fp32": "model.onnx", "cpu-int8": "int8.onnx"}
STATIC = {**DYNAMIC, "cpu-int8-static": "static.onnx"}


@pytest.fixture
def bundle(bundle_repository: Path) -> Bundle:
    """The default model, in fp32 alone."""
    model = Repository(bundle_repository).find_model("all-minilm-l6-v2")
    return replace(model, graphs={"cpu-fp32": "model.onnx"})


def found(precision: str, machine: Machine, bundle: Bundle) -> list[tuple[str, str, str]]:
    candidates = Runtimes(precision, 1, machine).candidates(bundle)
    return [(each.engine, each.precision, each.variant) for each in candidates]


def test_the_setting_knows_the_precisions_and_is_fp32() -> None:
    assert load(EncoderSettings, {}).runtime.precision == FP32
    for precision in (FP32, BF16, INT8, AUTO):
        settings = load(EncoderSettings, {"TRIPTYCH_RUNTIME_PRECISION": precision})
        assert settings.runtime.precision == precision
    with pytest.raises(SettingsError, match="must be one of fp32, bf16, int8, auto"):
        load(EncoderSettings, {"TRIPTYCH_RUNTIME_PRECISION": "fp16"})


@pytest.mark.parametrize("machine", [BARE, OLD, NEW])
def test_fp32_is_the_reference_everywhere(machine: Machine, bundle: Bundle) -> None:
    assert list(Runtimes(FP32, 1, machine).candidates(bundle)) == [REFERENCE]


def test_bf16_is_openvino_on_the_graph_of_fp32(bundle: Bundle) -> None:
    assert found(BF16, NEW, bundle) == [(OPENVINO, BF16, "cpu-fp32")]


@pytest.mark.parametrize(
    ("machine", "reason"), [(BARE, "openvino is not installed"), (OLD, "does not list BF16")]
)
def test_bf16_is_refused_at_start_where_nothing_computes_it(machine: Machine, reason: str) -> None:
    with pytest.raises(SettingsError, match=f"TRIPTYCH_RUNTIME_PRECISION=bf16: .*{reason}"):
        Runtimes(BF16, 1, machine)


def test_auto_lets_bf16_race_the_reference(bundle: Bundle) -> None:
    assert found(AUTO, NEW, bundle) == [(ONNX, FP32, "cpu-fp32"), (OPENVINO, BF16, "cpu-fp32")]


@pytest.mark.parametrize(
    ("machine", "reason"), [(BARE, "openvino is not installed"), (OLD, "does not list BF16")]
)
def test_auto_is_fp32_elsewhere_and_says_why(
    machine: Machine, reason: str, bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        assert found(AUTO, machine, bundle) == [(ONNX, FP32, "cpu-fp32")]
    assert reason in caplog.text


def test_auto_never_takes_int8(bundle: Bundle) -> None:
    quantised = replace(bundle, graphs=STATIC)
    assert INT8 not in {precision for _, precision, _ in found(AUTO, NEW, quantised)}


@pytest.mark.parametrize(
    ("machine", "graphs", "expected"),
    [
        (NEW, STATIC, (OPENVINO, INT8, "cpu-int8-static")),
        (OLD, STATIC, (OPENVINO, INT8, "cpu-int8-static")),
        (BARE, STATIC, (ONNX, INT8, "cpu-int8")),
        (OLDEST, STATIC, (ONNX, INT8, "cpu-int8")),
        (NEW, DYNAMIC, (ONNX, INT8, "cpu-int8")),
    ],
)
def test_int8_takes_the_graph_that_suits_what_is_installed(
    machine: Machine, graphs: Mapping[str, str], expected: tuple[str, str, str], bundle: Bundle
) -> None:
    assert found(INT8, machine, replace(bundle, graphs=graphs)) == [expected]


@pytest.mark.parametrize("machine", [OLD, replace(Machine.here(), vnni=True)])
def test_what_int8_leaves_is_in_bf16_where_the_processor_has_it(
    machine: Machine, bundle: Bundle
) -> None:
    (runtime,) = Runtimes(INT8, 1, machine).candidates(replace(bundle, graphs=STATIC))
    backend = runtime.open(bundle.file("model.onnx"))
    assert backend.description.split()[-1] == (BF16 if machine.bf16 else "f32")
    backend.close()


def test_int8_is_refused_where_the_bundle_has_no_graph_for_it(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="triptych-models compile --precision int8"):
        found(INT8, NEW, bundle)


def test_this_machine_is_told_as_it_is() -> None:
    flags = Path("/proc/cpuinfo").read_text()
    machine = Machine.here()
    assert machine.openvino, "the development environment has the extra"
    assert machine.bf16 == ("avx512_bf16" in flags or "amx_bf16" in flags)
    assert machine.vnni == ("_vnni" in flags or "amx_int8" in flags)


def test_a_small_graph_is_opened_twice_where_there_are_cores(bundle: Bundle) -> None:
    size = bundle.record("model.onnx").bytes

    def opens_alone(workers: int, limit: int) -> bool:
        (runtime,) = Runtimes(FP32, workers, BARE, limit).candidates(bundle)
        return runtime.open_alone is not None

    assert opens_alone(2, size)
    assert not opens_alone(2, size - 1)
    assert not opens_alone(2, 0)
    assert not opens_alone(1, size)


def test_nothing_is_opened_twice_where_memory_is_rationed(bundle: Bundle) -> None:
    def opens_alone(**environment: str) -> bool:
        cpu = device_of(load(EncoderSettings, {"TRIPTYCH_RUNTIME_WORKERS": "2", **environment}))
        return cpu.candidates(bundle)[0].open_alone is not None

    assert opens_alone()
    assert not opens_alone(TRIPTYCH_MODELS_MEMORY_BUDGET_BYTES=str(10 * bundle.size))


def test_several_threads_give_the_numbers_of_one(bundle: Bundle) -> None:
    (runtime,) = Runtimes(FP32, 2, BARE, bundle.size).candidates(bundle)
    assert runtime.open_alone is not None
    graph = bundle.file("model.onnx")
    one, several = runtime.open(graph), runtime.open_alone(graph)
    rng = np.random.default_rng(0)
    lengths = (3, 12, 51, 256)
    sequences = [rng.integers(1, bundle.vocab_size, length, np.int32) for length in lengths]
    for batch in (sequences[1:2], sequences[3:], sequences):
        given = RaggedBatch.of(batch)
        expected, found = (backend.run(given, ["pooled.mean"])[0] for backend in (one, several))
        np.testing.assert_allclose(found, expected, atol=1e-6)
