"""make, CI, the container and the hooks name what exists, and each other's commands."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib

import pytest
import yaml

from tests.documents import REPOSITORY, read


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What make would run."""
    command = ["make", "--dry-run", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)


def instructions(dockerfile: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile with their arguments, in their order."""
    joined = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", dockerfile, flags=re.MULTILINE))
    lines = [line.partition(" ") for line in joined.splitlines() if line.strip()]
    return [(name, rest.strip()) for name, _, rest in lines]


def test_ci_runs_targets_of_the_makefile_and_leaves_out_only_stress() -> None:
    targets = re.findall(r"^make (\S+)$", read(".ci/run"), re.MULTILINE)
    assert targets == ["lint", "test", "test-slow"]
    assert all(make(target).returncode == 0 for target in targets)
    default = tomllib.loads(read("pyproject.toml"))["tool"]["pytest"]["ini_options"]["addopts"]
    assert "-m 'not slow and not stress'" in default
    assert "pytest" in make("test").stdout
    assert " -m 'slow and not stress'" in make("test-slow").stdout
    assert " -m 'not stress'" in make("test-all").stdout


@pytest.mark.parametrize(("target", "index"), [("install-cpu", True), ("install-cuda", False)])
def test_torch_without_cuda_comes_from_its_own_index(target: str, index: bool) -> None:
    planned = make(target, "VENV=no-such-folder").stdout
    torch_alone = "--index-url https://download.pytorch.org/whl/cpu torch torchvision"
    assert (torch_alone in planned) == index
    assert "--editable '.[dev]'" in planned


def test_the_container_copies_what_exists_and_runs_targets_of_the_makefile() -> None:
    found = instructions(read("Dockerfile"))
    copied = [word for name, rest in found if name == "COPY" for word in shlex.split(rest)[:-1]]
    assert {"Makefile", "pyproject.toml", "rim", "data"} <= set(copied)
    assert [path for path in copied if not (REPOSITORY / path).exists()] == []
    project = tomllib.loads(read("pyproject.toml"))
    assert set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) <= set(copied)
    ignored = read(".dockerignore").splitlines()
    assert set(copied).isdisjoint(ignored)

    (default,) = (rest for name, rest in found if name == "ARG")
    assert default == "DEVICE=cpu"
    installed = [rest for name, rest in found if name == "RUN" and rest.startswith("make")]
    assert installed == ["make install-${DEVICE} EXTRAS=app"]
    assert "app" in project["project"]["optional-dependencies"]
    for device in ("cpu", "cuda"):
        assert make(f"install-{device}", "EXTRAS=app").returncode == 0
    assert found[-2:] == [("USER", "rim"), ("CMD", '["make", "demo"]')]


def test_hooks_run_what_make_lint_runs() -> None:
    hooks = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    programs = {hook["entry"].split()[0] for hook in hooks[0]["hooks"]}
    linted = set(re.findall(r"^\.venv/bin/\w+", make("lint").stdout, re.MULTILINE))
    assert programs == linted - {".venv/bin/python", ".venv/bin/uv"}
    assert [hook["id"] for hook in hooks[1]["hooks"]] == ["check-added-large-files"]


def test_reports_of_faults_bring_what_rim_doctor_says() -> None:
    folder = REPOSITORY / ".github" / "ISSUE_TEMPLATE"
    forms = {path.stem: yaml.safe_load(path.read_text("utf-8")) for path in folder.glob("*.yml")}
    assert set(forms) == {"bug", "config", "feature"}
    labels = [field["attributes"]["label"] for field in forms["bug"]["body"]]
    assert "Output of `rim doctor --json`" in labels


def test_the_changelog_has_a_part_for_the_version() -> None:
    version = tomllib.loads(read("pyproject.toml"))["project"]["version"]
    parts = re.findall(r"^## \[(.+?)\]", read("CHANGELOG.md"), re.MULTILINE)
    assert version in parts
    kinds = set(re.findall(r"^### (\w+)$", read("CHANGELOG.md"), re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
