"""What every container may do and take, as the engine and the kernel see it."""

import pytest

from tests.e2e.engine import SERVICES, Container, EngineError, Project, docker

ALL = (*SERVICES, "prometheus")
NANO = 1e9


def containers(project: Project, service: str) -> list[Container]:
    found = project.containers(service)
    assert found
    return found


def status(container: Container) -> dict[str, str]:
    """What the kernel says of a container's first process."""
    lines = container.execute("cat", "/proc/1/status").splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


@pytest.mark.parametrize("service", [*ALL, "models"])
def test_every_container_is_confined(service: str, scaled: Project) -> None:
    for container in containers(scaled, service):
        limits = container.limits
        assert limits["ReadonlyRootfs"]
        assert limits["CapDrop"] == ["ALL"]
        assert not limits["CapAdd"]
        assert not limits["Privileged"]
        assert "no-new-privileges:true" in limits["SecurityOpt"]
        assert 0 < limits["Memory"] <= 2 << 30
        assert 0 < limits["NanoCpus"] <= 2 * NANO
        assert 0 < limits["PidsLimit"] <= 256


@pytest.mark.parametrize("service", ALL)
def test_no_process_is_root_or_may_become_it(service: str, scaled: Project) -> None:
    for container in containers(scaled, service):
        facts = status(container)
        assert "0" not in facts["Uid"].split() + facts["Gid"].split()
        assert facts["NoNewPrivs"] == "1"
        for kind in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"):
            assert int(facts[kind], 16) == 0
        users = container.execute("sh", "-c", "grep -h ^Uid: /proc/[0-9]*/status")
        assert not [line for line in users.splitlines() if "0" in line.split()]


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("folder", ["/", "/opt/venv", "/models", "/usr/local/bin", "/var/tmp"])
def test_nothing_can_be_written_but_what_is_meant_to_be(
    service: str, folder: str, scaled: Project
) -> None:
    container = containers(scaled, service)[0]
    with pytest.raises(EngineError, match="Read-only file system"):
        container.execute("touch", f"{folder}/probe")
    container.execute("touch", "/tmp/probe")


@pytest.mark.parametrize("service", SERVICES)
def test_the_kernel_holds_them_to_their_limits(service: str, scaled: Project) -> None:
    container = containers(scaled, service)[0]
    script = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes; true"
    (limit,) = container.execute("sh", "-c", f"({script}) 2>/dev/null").split()
    assert int(limit) == container.limits["Memory"]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_counts_the_cores_that_it_may_use(service: str, scaled: Project) -> None:
    container = containers(scaled, service)[0]
    script = "from triptych_servicekit.cores import available_cores; print(available_cores())"
    counted = int(container.execute("python3", "-c", script))
    assert 1 <= counted <= container.limits["NanoCpus"] / NANO


@pytest.mark.parametrize("service", SERVICES)
def test_an_init_is_the_first_process_and_the_service_its_only_child(
    service: str, scaled: Project
) -> None:
    container = containers(scaled, service)[0]
    assert status(container)["Name"] == "tini"
    (child,) = container.execute("cat", "/proc/1/task/1/children").split()
    command = container.execute("cat", f"/proc/{child}/cmdline").split("\0")
    assert command[1:3] == ["-m", f"triptych_{service}"]


@pytest.mark.parametrize("service", SERVICES)
def test_the_health_check_tells_ready_from_not(service: str, scaled: Project) -> None:
    container = containers(scaled, service)[0]
    _, *command = container.facts["Config"]["Healthcheck"]["Test"]
    container.execute(*command)
    nobody = "TRIPTYCH_LISTEN_OPERATIONS_PORT=1"
    with pytest.raises(EngineError):
        docker("exec", "--env", nobody, container.id, *command)
