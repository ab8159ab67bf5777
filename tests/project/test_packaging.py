"""What is built and installed: one import name, ``proofrank``, which neither shadows nor is shadowed by others' names.

The environments are real ones. What they need of other projects is borrowed from the environment of the tests, without
``proofrank`` itself, so that no network is needed and nothing but what is tested can be imported by its name.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path, PurePosixPath

import pytest

import proofrank

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("core", "service", "training")
DATA = {
    "proofrank/py.typed",
    *(
        f"proofrank/{file.relative_to(ROOT).as_posix()}"
        for folder in (ROOT / "core" / "default", ROOT / "service" / "page" / "assets")
        for file in folder.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    ),
}

BUILD = """
import sys
from setuptools import build_meta

getattr(build_meta, "build_" + sys.argv[1])(sys.argv[2])
"""

THEIRS = "import core, service.client, training; print(core.OWNER, service.client.OWNER, training.OWNER)"
OURS = "import proofrank.core.errors; from proofrank.client import Client; print(Client.__module__)"
OUR_CLIENT = "proofrank.service.client.clients"


def ended(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs a command that knows of no repository but by what is installed."""
    ours = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PROOFRANK_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return subprocess.run(
        [str(argument) for argument in arguments],
        cwd=cwd,
        env={**environment, "PYTHONDONTWRITEBYTECODE": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def printed(*arguments: str | Path, cwd: Path) -> str:
    """What a command prints that must succeed."""
    done = ended(*arguments, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def copy_of_the_tree(target: Path) -> Path:
    """A checkout's files that a build may read or wrongly take, with links kept."""
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("proofrank", *PARTS, "tests", "examples", "load"):
        shutil.copytree(ROOT / name, target / name, ignore=ignored, symlinks=True)
    for name in ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, target)
    return target


def build(what: str, source: Path, target: Path) -> Path:
    """The ``wheel`` or ``sdist`` of the project in ``source``."""
    printed(sys.executable, "-c", BUILD, what, target, cwd=source)
    (built,) = target.iterdir()
    return built


def files_of_wheel(wheel: Path) -> set[str]:
    """The names of the files in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not name.endswith("/")}


class Environment:
    """A virtual environment with what ``proofrank`` needs, and at first without it."""

    def __init__(self, folder: Path, borrowed: Path) -> None:
        venv.create(folder, symlinks=True)
        self.python = folder / "bin" / "python"
        self._elsewhere = folder / "elsewhere"
        self._elsewhere.mkdir()
        libraries = sysconfig.get_path("purelib", "venv", {"base": str(folder)})
        (Path(libraries) / "borrowed.pth").write_text(f"{borrowed}\n", encoding="utf-8")

    def install(self, *what: str | Path) -> None:
        """Has pip install ``what`` from no index."""
        options = ("--no-deps", "--no-build-isolation", "--no-index")
        printed(self.python, "-m", "pip", "install", *options, *what, cwd=self._elsewhere)

    def uninstall(self, name: str) -> None:
        """Has pip remove the project ``name``."""
        printed(self.python, "-m", "pip", "uninstall", "--yes", name, cwd=self._elsewhere)

    def run(self, *arguments: str, cwd: Path | None = None) -> str:
        """What Python prints, run with ``arguments`` in ``cwd`` or in an empty folder."""
        return printed(self.python, *arguments, cwd=cwd or self._elsewhere)

    def lacks(self, module: str) -> bool:
        """Whether ``module`` is not installed here."""
        done = ended(self.python, "-c", f"import {module}", cwd=self._elsewhere)
        return "ModuleNotFoundError" in done.stderr


@pytest.fixture(scope="session")
def borrowed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with links to the libraries of this environment, without ``proofrank`` and the names in question."""
    folder = tmp_path_factory.mktemp("borrowed")
    found = importlib.util.find_spec("httpx")
    assert found is not None
    assert found.origin is not None
    for entry in Path(found.origin).parents[1].iterdir():
        if entry.suffix != ".pth" and "proofrank" not in entry.name and entry.name not in PARTS:
            (folder / entry.name).symlink_to(entry)
    return folder


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of_the_tree(tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="session")
def sdist(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", tree, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="session")
def wheel(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", tree, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def foreign_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another project, whose packages have the names of our folders."""
    source = tmp_path_factory.mktemp("foreign")
    for name in ("core", "service", "service/client", "training"):
        (source / name).mkdir()
        (source / name / "__init__.py").write_text("OWNER = 'theirs'\n", encoding="utf-8")
    (source / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "foreign"\nversion = "1"\n'
        '[tool.setuptools]\npackages = ["core", "service", "service.client", "training"]\n',
        encoding="utf-8",
    )
    return build("wheel", source, tmp_path_factory.mktemp("foreign-wheel"))


@pytest.fixture
def environment(tmp_path: Path, borrowed: Path) -> Environment:
    return Environment(tmp_path / "environment", borrowed)


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory, borrowed: Path, wheel: Path) -> Environment:
    """An environment with the wheel, that tests do not change."""
    environment = Environment(tmp_path_factory.mktemp("installed"), borrowed)
    environment.install(wheel)
    return environment


def test_the_wheel_holds_one_package_with_its_types_and_data(wheel: Path) -> None:
    files = files_of_wheel(wheel)
    information = f"proofrank-{proofrank.__version__}.dist-info"
    assert {PurePosixPath(name).parts[0] for name in files} == {"proofrank", information}
    assert files >= DATA
    assert {f"proofrank/{part}/__init__.py" for part in (*PARTS, "callbacks")} <= files
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read(f"{information}/top_level.txt").decode().split() == ["proofrank"]


def test_the_sdist_holds_real_files_of_one_package_and_of_the_project(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        members = archive.getmembers()
    assert all(member.isfile() or member.isdir() for member in members)
    (top,) = {PurePosixPath(member.name).parts[0] for member in members}
    files = {member.name.removeprefix(f"{top}/") for member in members if member.isfile()}
    project = {"LICENSE", "MANIFEST.in", "PKG-INFO", "README.md", "pyproject.toml", "setup.cfg"}
    assert {PurePosixPath(name).parts[0] for name in files} == {
        "proofrank",
        "proofrank.egg-info",
        *project,
    }
    assert files >= DATA


def test_a_wheel_of_the_sdist_is_the_wheel_of_the_tree(sdist: Path, wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (source,) = (tmp_path / "unpacked").iterdir()
    assert files_of_wheel(build("wheel", source, tmp_path / "again")) == files_of_wheel(wheel)


def test_the_package_and_its_metadata_have_one_version(installed: Environment) -> None:
    code = (
        "import importlib.metadata, proofrank; print(proofrank.__version__, "
        "importlib.metadata.version('proofrank'))"
    )
    assert installed.run("-c", code).split() == [proofrank.__version__] * 2


@pytest.mark.parametrize("ours_first", [True, False], ids=["ours-first", "theirs-first"])
def test_a_project_with_packages_of_our_folders_names_lives_beside_ours(
    environment: Environment, wheel: Path, foreign_wheel: Path, ours_first: bool
) -> None:
    for project in (wheel, foreign_wheel) if ours_first else (foreign_wheel, wheel):
        environment.install(project)
    assert environment.run("-c", THEIRS) == "theirs theirs theirs"
    assert environment.run("-c", OURS) == OUR_CLIENT


def test_theirs_works_when_ours_is_gone(environment: Environment, wheel: Path, foreign_wheel: Path) -> None:
    environment.install(wheel, foreign_wheel)
    environment.uninstall("proofrank")
    assert environment.run("-c", THEIRS) == "theirs theirs theirs"
    assert environment.lacks("proofrank")


def test_ours_works_when_theirs_is_gone(environment: Environment, wheel: Path, foreign_wheel: Path) -> None:
    environment.install(wheel, foreign_wheel)
    environment.uninstall("foreign")
    assert environment.run("-c", OURS) == OUR_CLIENT
    assert all(environment.lacks(part) for part in PARTS)


def test_folders_of_our_names_where_one_works_shadow_nothing(installed: Environment, tmp_path: Path) -> None:
    for part in PARTS:
        (tmp_path / part).mkdir()
        (tmp_path / part / "__init__.py").write_text("raise RuntimeError('theirs')\n", encoding="utf-8")
    code = "import proofrank.core.errors, proofrank.service.client; print(proofrank.core.errors.__name__)"
    assert installed.run("-c", code, cwd=tmp_path) == "proofrank.core.errors"
    version = installed.run("-m", "proofrank", "--version", cwd=tmp_path)
    assert version == f"proofrank {proofrank.__version__}"


def test_an_editable_installation_sees_a_new_file_at_once(environment: Environment, tmp_path: Path) -> None:
    tree = copy_of_the_tree(tmp_path / "tree")
    environment.install("--editable", tree)
    assert environment.lacks("proofrank.core.added")
    (tree / "core" / "added.py").write_text("VALUE = 'seen'\n", encoding="utf-8")
    assert environment.run("-c", "from proofrank.core.added import VALUE; print(VALUE)") == "seen"
    assert all(environment.lacks(part) for part in PARTS)


@pytest.fixture
def user_project(tmp_path: Path) -> Path:
    """A project of someone who uses ours, with one wrong line, the third."""
    folder = tmp_path / "user"
    folder.mkdir()
    (folder / "use.py").write_text(
        "from proofrank.client import Client\n"
        "right: Client = Client('http://127.0.0.1:8000')\n"
        "wrong: int = Client('http://127.0.0.1:8000')\n",
        encoding="utf-8",
    )
    return folder


def test_pyright_sees_the_types_in_a_users_project(installed: Environment, user_project: Path) -> None:
    arguments = ("-m", "pyright", "--pythonpath", installed.python, "use.py")
    done = ended(sys.executable, *arguments, cwd=user_project)
    assert done.returncode == 1, done.stderr
    assert 'use.py:3:14 - error: Type "Client" is not assignable to declared type "int"' in done.stdout
    assert "1 error, 0 warnings" in done.stdout


def test_mypy_sees_the_types_in_a_users_project(installed: Environment, user_project: Path) -> None:
    arguments = ("-m", "mypy", "--no-color-output", "--python-executable", installed.python, "use.py")
    done = ended(sys.executable, *arguments, cwd=user_project)
    assert done.returncode == 1, done.stderr
    assert 'use.py:3: error: Incompatible types in assignment (expression has type "Client"' in done.stdout
    assert "Found 1 error in 1 file" in done.stdout


@pytest.mark.parametrize("part", PARTS)
def test_ruff_refuses_to_import_a_folder_by_its_own_name(part: str, tmp_path: Path) -> None:
    folder = tmp_path / "probe"
    folder.mkdir()
    lines = [f"import {part}", f"from {part}.errors import X", f"import proofrank.{part}"]
    (folder / "probe.py").write_text("\n".join(lines) + "\n", encoding="utf-8")
    options = ("--no-cache", "--config", ROOT / "pyproject.toml", "--select", "TID251")
    done = ended(
        sys.executable, "-m", "ruff", "check", *options, "--output-format", "concise", "probe.py", cwd=folder
    )
    found = [line.split(" ", 1)[1] for line in done.stdout.splitlines() if "TID251" in line]
    assert found == [f"TID251 `{part}` is banned: Import proofrank.{part}."] * 2, done.stdout
