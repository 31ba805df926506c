"""The memory of processes, as Linux tells it in /proc."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_KIB = 1024
_RESET = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


@dataclass(frozen=True)
class Memory:
    """Memory of one process at one moment, in bytes.

    anonymous: what nothing can take back while it runs. mapped: pages of files, which the system
    drops when it needs the memory, and reads again.
    """

    anonymous: int
    mapped: int


def memory_of(pid: int) -> Memory | None:
    """The memory of a process; None once it has ended."""
    try:
        fields = _status(str(pid))
    except OSError:
        return None
    if "RssAnon" not in fields:  # ended, and not yet waited for
        return None
    return Memory(fields["RssAnon"], fields["RssFile"] + fields["RssShmem"])


def can_reset_peak() -> bool:
    """Whether `reset_peak` works here."""
    return _RESET.exists()


def reset_peak() -> int:
    """Has the peak of this process start from now; returns the resident bytes of now."""
    _RESET.write_text(_RESET_PEAK, encoding="ascii")
    return _status("self")["VmRSS"]


def peak() -> int:
    """The most resident bytes of this process since `reset_peak`."""
    return _status("self")["VmHWM"]


def _status(process: str) -> dict[str, int]:
    """The kernel's account of a process: bytes by name."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    values = (line.split(":", 1) for line in lines if line.endswith(" kB"))
    return {name: int(value.split()[0]) * _KIB for name, value in values}
