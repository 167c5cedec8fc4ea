import socket

import pytest

from triptych_local import ports
from triptych_local.service import Port, Service
from triptych_servicekit.settings import SettingsError


def listens_on(name: str, *numbers: int) -> Service:
    return Service(name, (), ports=tuple(Port("grpc", number, "A_PORT") for number in numbers))


def test_chosen_ports_are_free_and_different() -> None:
    chosen = ports.choose(9)
    assert len(set(chosen)) == 9
    assert all(ports.is_free(number) for number in chosen)


def test_more_ports_than_there_are_cannot_be_chosen() -> None:
    with pytest.raises(SettingsError, match="no 20000 free ports"):
        ports.choose(20_000)


def test_free_ports_pass_the_check() -> None:
    one, other = ports.choose(2)
    ports.check([listens_on("tokenizer", one), listens_on("encoder", other)])


def test_a_busy_port_is_named_with_its_service_and_variable() -> None:
    with socket.create_server((ports.LOOPBACK, 0)) as listener:
        busy = listener.getsockname()[1]
        with pytest.raises(SettingsError) as caught:
            ports.check([listens_on("encoder", busy)])
    assert str(caught.value) == (
        f"port {busy} (encoder, grpc) is in use: set A_PORT to another, or use --ports auto"
    )


def test_one_port_for_two_services_is_refused() -> None:
    (number,) = ports.choose(1)
    with pytest.raises(SettingsError, match="given to tokenizer and encoder"):
        ports.check([listens_on("tokenizer", number), listens_on("encoder", number)])
