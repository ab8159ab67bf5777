"""How much memory a process may still take, on machines and in containers of both kinds."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch

from proofrank.core.errors import MemoryShortError
from proofrank.core.evaluator.available_memory import available_host_bytes
from proofrank.core.evaluator.capacities import check_memory

GIB = 2**30
MEMORY = "MemTotal:       24684084 kB\nMemFree:          204800 kB\nMemAvailable:   10485760 kB\n"
VERSION_1 = Path("/sys/fs/cgroup/memory")


def folders(tmp_path: Path, group: str, files: Mapping[str, str]) -> tuple[Path, Path]:
    """Folders like /proc and /sys/fs/cgroup, with 10 GiB available and 0.2 GiB free."""
    processes, groups = tmp_path / "proc", tmp_path / "cgroup"
    for path, text in {"meminfo": MEMORY, "self/cgroup": group}.items():
        (processes / path).parent.mkdir(parents=True, exist_ok=True)
        (processes / path).write_text(text)
    for path, text in files.items():
        (groups / path).parent.mkdir(parents=True, exist_ok=True)
        (groups / path).write_text(text)
    return processes, groups


def limits(folder: str, limit: str, usage: int, inactive_file: int) -> dict[str, str]:
    """The files of a group of version 2."""
    return {
        f"{folder}memory.max": f"{limit}\n",
        f"{folder}memory.current": f"{usage}\n",
        f"{folder}memory.stat": f"anon 12\nfile {3 * GIB}\ninactive_file {inactive_file}\n",
    }


def test_copies_of_files_count_as_available(tmp_path: Path) -> None:
    """Else a machine that has run for a while, and has 0.2 GiB free, would refuse what it has room for."""
    assert available_host_bytes(*folders(tmp_path, "0::/\n", {})) == 10 * GIB


def test_a_container_leaves_its_limit_less_what_it_uses(tmp_path: Path) -> None:
    found = folders(tmp_path, "0::/\n", limits("", str(4 * GIB), 3 * GIB, GIB // 2))
    assert available_host_bytes(*found) == 4 * GIB - 3 * GIB + GIB // 2


def test_the_narrowest_of_nested_groups_counts(tmp_path: Path) -> None:
    files = {
        **limits("pods/one/", "max", 2 * GIB, 0),
        **limits("pods/", str(3 * GIB), 2 * GIB, 0),
        **limits("", str(8 * GIB), 2 * GIB, 0),
    }
    assert available_host_bytes(*folders(tmp_path, "0::/pods/one\n", files)) == GIB


def test_a_container_of_version_1_whose_name_is_that_outside(tmp_path: Path) -> None:
    files = {
        "memory/memory.limit_in_bytes": f"{2 * GIB}\n",
        "memory/memory.usage_in_bytes": f"{GIB}\n",
        "memory/memory.stat": "cache 5\ninactive_file 7\ntotal_inactive_file 1024\n",
    }
    group = "9:name=systemd:/\n4:cpu,memory:/docker/7a5b\n0::/docker/7a5b\n"
    assert available_host_bytes(*folders(tmp_path, group, files)) == GIB + 1024


def test_no_limit_and_unreadable_files_leave_what_the_machine_has(tmp_path: Path) -> None:
    files = {
        **limits("", "max", GIB, 0),
        "memory/memory.limit_in_bytes": "9223372036854771712\n",
        "memory/memory.usage_in_bytes": "none\n",
    }
    assert available_host_bytes(*folders(tmp_path, "4:memory:/\n0::/\n", files)) == 10 * GIB


def test_a_group_above_its_limit_leaves_nothing(tmp_path: Path) -> None:
    found = folders(tmp_path, "0::/\n", limits("", str(GIB), 2 * GIB, 0))
    assert available_host_bytes(*found) == 0


@pytest.fixture
def group_of_300_mib() -> Iterator[Path]:
    """A real control group of version 1."""
    folder = VERSION_1 / f"proofrank-{uuid.uuid4().hex}"
    try:
        folder.mkdir()
        (folder / "memory.limit_in_bytes").write_text(str(300 * 2**20))
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    yield folder
    folder.rmdir()


def test_a_real_control_group(group_of_300_mib: Path) -> None:
    program = (
        "from pathlib import Path; import os, sys;"
        "Path(sys.argv[1], 'cgroup.procs').write_text(str(os.getpid()));"
        "from proofrank.core.evaluator.available_memory import available_host_bytes;"
        "print(available_host_bytes())"
    )
    told = subprocess.run(
        [sys.executable, "-c", program, str(group_of_300_mib)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert 0 < int(told.stdout) <= 300 * 2**20


def test_too_much_is_refused_with_what_is_there() -> None:
    with pytest.raises(MemoryShortError, match=r"^lanes needs about 1048576\.0 GiB"):
        check_memory(2**50, "lanes", torch.device("cpu"))
