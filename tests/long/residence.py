"""What the services of a running platform take of the machine."""

import re
from pathlib import Path

from triptych_local.session import Session

SERVICES = ("gateway", "tokenizer", "encoder", "postprocess")


def resident_mebibytes(platform: Session) -> dict[str, int]:
    """Memory of every service."""
    found = {}
    for name in SERVICES:
        status = Path(f"/proc/{platform.pid(name)}/status").read_text()
        found[name] = int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) // 1024
    return found


def open_files(platform: Session) -> dict[str, int]:
    """File descriptors of every service."""
    return {name: len(list(Path(f"/proc/{platform.pid(name)}/fd").iterdir())) for name in SERVICES}
