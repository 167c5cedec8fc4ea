from triptych_local.platform import platform, welcome, with_free_ports
from triptych_local.settings import Settings
from triptych_servicekit.settings import load

DEFAULTS = load(Settings, {})


def test_the_gateway_stops_first_and_the_stages_in_the_order_of_the_work() -> None:
    names = [service.name for service in platform(DEFAULTS, {})]
    assert names == ["gateway", "tokenizer", "encoder", "postprocess"]


def test_every_service_is_told_its_ports_and_the_repository() -> None:
    settings = load(Settings, {"TRIPTYCH_MODELS_REPOSITORY": "/bundles"})
    for service in platform(settings, {}):
        environment = service.environment
        assert environment["TRIPTYCH_LISTEN_PORT"] == str(service.port("grpc"))
        assert environment["TRIPTYCH_LISTEN_OPERATIONS_PORT"] == str(service.port("operations"))
        assert environment["TRIPTYCH_MODELS_REPOSITORY"] == "/bundles"
        assert environment["TRIPTYCH_TELEMETRY_LOG_FORMAT"] == "text"


def test_the_gateway_is_told_where_the_stages_are() -> None:
    settings = load(Settings, {"TRIPTYCH_LOCAL_ENCODER_PORT": "7000"})
    gateway, _, encoder, _ = platform(settings, {})
    assert encoder.port("grpc") == 7000
    assert gateway.environment["TRIPTYCH_STAGES_TOKENIZER"] == "127.0.0.1:50051"
    assert gateway.environment["TRIPTYCH_STAGES_ENCODER"] == "127.0.0.1:7000"
    assert gateway.environment["TRIPTYCH_STAGES_POSTPROCESS"] == "127.0.0.1:50053"
    assert gateway.environment["TRIPTYCH_HTTP_PORT"] == "8080"


def test_other_variables_pass_through() -> None:
    inherited = {"TRIPTYCH_BATCHING_MAX_BATCH_TOKENS": "512", "PATH": "/bin"}
    for service in platform(DEFAULTS, inherited):
        assert inherited.items() <= service.environment.items()


def test_the_variable_of_a_port_moves_that_port() -> None:
    for service in platform(DEFAULTS, {}):
        for port in service.ports:
            moved = platform(load(Settings, {port.variable: "7000"}), {})
            assert {s.name: s.port(port.kind) for s in moved}[service.name] == 7000


def test_free_ports_replace_every_port() -> None:
    free = platform(with_free_ports(DEFAULTS), {})
    chosen = [port.number for service in free for port in service.ports]
    fixed = [port.number for service in platform(DEFAULTS, {}) for port in service.ports]
    assert len(set(chosen)) == len(chosen) == 9
    assert not set(chosen) & set(fixed)


def test_the_welcome_ends_with_a_line_to_paste() -> None:
    text = welcome(DEFAULTS)
    assert "http://127.0.0.1:8080/docs" in text
    assert "127.0.0.1:8081" in text
    assert text.splitlines()[-1].strip() == (
        "curl -s http://127.0.0.1:8080/v1/embeddings -H 'content-type: application/json'"
        """ -d '{"model":"all-minilm-l6-v2","input":"hello world"}'"""
    )
