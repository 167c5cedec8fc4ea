"""Settings are read once, whole, and refused with the variable's name."""

from dataclasses import dataclass, field

import pytest

from triptych_servicekit.settings import SettingsError, describe, load, manual, setting


@dataclass(frozen=True)
class Group:
    size: int = setting(5, "How large.", minimum=1, maximum=10)
    ratio: float = setting(0.5, "How much.")
    names: tuple[str, ...] = setting(("a",), "Which.")
    on: bool = setting(False, "Whether.")
    level: str = setting("low", "How loud.", choices=("low", "high"))


@dataclass(frozen=True)
class Settings:
    group: Group = field(default_factory=Group)


def test_defaults_and_values() -> None:
    assert load(Settings, {}).group == Group()
    environment = {
        "TRIPTYCH_GROUP_SIZE": "7",
        "TRIPTYCH_GROUP_RATIO": "0.25",
        "TRIPTYCH_GROUP_NAMES": "x, y,",
        "TRIPTYCH_GROUP_ON": "true",
        "TRIPTYCH_GROUP_LEVEL": "high",
    }
    assert load(Settings, environment).group == Group(7, 0.25, ("x", "y"), True, "high")


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("SIZE", "many", "is not a valid int"),
        ("SIZE", "0", "below its minimum 1"),
        ("SIZE", "11", "above its maximum 10"),
        ("ON", "perhaps", "true or false"),
        ("LEVEL", "deafening", "low, high"),
    ],
)
def test_a_wrong_value_is_named(variable: str, value: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as refused:
        load(Settings, {f"TRIPTYCH_GROUP_{variable}": value})
    assert f"TRIPTYCH_GROUP_{variable}" in str(refused.value)


def test_the_manual_has_every_setting() -> None:
    assert [entry.variable for entry in describe(Settings)] == [
        f"TRIPTYCH_GROUP_{name}" for name in ("SIZE", "RATIO", "NAMES", "ON", "LEVEL")
    ]
    assert "TRIPTYCH_GROUP_ON=false" in manual(Settings)
