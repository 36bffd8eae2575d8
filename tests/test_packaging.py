"""What is installed is what was written: the dependencies, the wheel's files, and the wheel at work on its own."""

import ast
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
# What lies beside the package in the repository, and is no part of it.
BESIDE = ("tests", "benchmarks", "docs", "examples")


def repository() -> list[Path]:
    """Return the files of the checkout that git does not ignore, relative to its root."""
    listed = subprocess.run(
        ["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return sorted({Path(name) for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()})


def package_files() -> list[Path]:
    """Return the files that belong into the wheel: at the root modules and py.typed, in the package's folders all."""
    visible = [path for path in repository() if path.parts[0] not in BESIDE and not path.parts[0].startswith(".")]
    return [path for path in visible if len(path.parts) > 1 or path.suffix == ".py" or path.name == "py.typed"]


def package_name(folder: Path) -> str:
    return ".".join(("rulesmith", *folder.parts))


def test_packages_are_the_folders_with_modules():
    folders = {path.parent for path in package_files() if path.suffix == ".py"}
    assert sorted(PROJECT["tool"]["setuptools"]["packages"]) == sorted(map(package_name, folders))


def test_package_data_covers_every_file_that_is_no_module():
    data = PROJECT["tool"]["setuptools"]["package-data"]
    folders = {name: ROOT.joinpath(*name.split(".")[1:]) for name in data}
    covered = {file for name, patterns in data.items() for pattern in patterns for file in folders[name].glob(pattern)}
    assert [path for path in package_files() if path.suffix != ".py" and ROOT / path not in covered] == []


def normalized(requirement: str) -> str:
    """Return the name in a requirement, as PyPI compares names."""
    name = re.match(r"[\w.-]+", requirement)
    assert name
    return re.sub(r"[-_.]+", "-", name.group()).lower()


def imported(path: Path) -> set[str]:
    """Return the first names of the modules that a file imports, but for the standard library's and its own."""
    names = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names - sys.stdlib_module_names - {"rulesmith"}


def distributions(paths: list[Path]) -> dict[str, set[str]]:
    """Return the modules of others that the files import, and the distributions that may bring each of them."""
    brings = importlib.metadata.packages_distributions()
    names = set().union(*map(imported, paths))
    return {name: {normalized(found) for found in brings.get(name, [name])} for name in sorted(names)}


DEPENDENCIES = {normalized(requirement) for requirement in PROJECT["project"]["dependencies"]}
EXTRAS = {
    extra: {normalized(requirement) for requirement in requirements}
    for extra, requirements in PROJECT["project"]["optional-dependencies"].items()
}


def test_what_the_package_imports_is_declared():
    found = distributions([path for path in package_files() if path.suffix == ".py"])
    only_in_notebooks = {"IPython"}  # which bring it
    declared = DEPENDENCIES.union(*(EXTRAS[extra] for extra in ("ray", "tasks", "torch", "math")))
    undeclared = {name for name, brings in found.items() if not brings & declared}
    assert undeclared - only_in_notebooks == set()


def test_what_is_declared_is_imported():
    found = distributions([path for path in package_files() if path.suffix == ".py"])
    only_for_others = {"six"}  # gymnax imports it, and does not declare it
    assert DEPENDENCIES - only_for_others - set().union(*found.values()) == set()


def test_what_tests_import_is_declared():
    tests = [path for path in repository() if path.parts[0] == "tests" and path.suffix == ".py"]
    helpers = {path.stem for path in tests if path.parent.name == "helpers"}
    found = distributions(tests)
    declared = DEPENDENCIES.union(*(EXTRAS[extra] for extra in ("test", "torch", "math", "docs")))
    assert {name for name, brings in found.items() if not brings & declared} - helpers == set()


def test_the_lock_names_every_dependency():
    lock = {normalized(line) for line in (ROOT / "requirements.lock").read_text().splitlines() if line[0] != "#"}
    assert DEPENDENCIES - lock == set()


def test_the_changelog_has_this_version():
    assert f"\n## {PROJECT['project']['version']}\n" in re.sub(
        r"\[|\]| - \d{4}-\d\d-\d\d", "", (ROOT / "CHANGELOG.md").read_text()
    )


def test_hooks_run_the_commands_of_make_lint():
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.M)
    hooks = re.findall(r"^ *entry: \.venv/bin/(.*)$", (ROOT / ".pre-commit-config.yaml").read_text(), re.M)
    assert recipe
    assert hooks == re.findall(r"^\t\$\(BIN\)/(.*)$", recipe.group(1), re.M)


def run(*words: str | Path, cwd: Path) -> str:
    """Run a command as a user's shell would, without what the tests' own environment says; return what it printed."""
    mine = ("PYTHONPATH", "VIRTUAL_ENV", "XLA_FLAGS")
    env = {name: value for name, value in os.environ.items() if name not in mine} | {"JAX_PLATFORMS": "cpu"}
    done = subprocess.run([str(word) for word in words], cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(map(str, words))}\n{done.stdout}{done.stderr}"
    return done.stdout


def build_wheel(folder: Path) -> Path:
    """Build the wheel from a clean copy of the checkout, without downloads."""
    for path in repository():
        copy = folder / "checkout" / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, copy)
    options = ("--no-deps", "--no-build-isolation", "--disable-pip-version-check")
    run(sys.executable, "-m", "pip", "wheel", *options, "-w", folder / "wheel", folder / "checkout", cwd=folder)
    (wheel,) = (folder / "wheel").iterdir()
    return wheel


EXPORTED = """
import sys
import jax, jax.numpy as jnp
from exported import lion

def loss(w):
    return jnp.sum((w - jnp.arange(3.0)) ** 2)

transform = lion(0.05)
w = jnp.zeros(3)
state = transform.init(w)
for _ in range(100):
    updates, state = transform.update(jax.grad(loss)(w), state, w)
    w = w + updates
assert loss(w) < 0.02 * loss(jnp.zeros(3)), loss(w)
assert "rulesmith" not in sys.modules
"""
LOADED = """
import importlib.metadata, rulesmith
rulesmith.load("lpg-es")  # its arrays lie in a file of their own
version = importlib.metadata.version("rulesmith")
assert rulesmith.__version__ == version
print(rulesmith.__file__, version, sep="\\n")
"""


def assert_wheel_works(venv: Path, folder: Path) -> None:
    """Use what is installed in a virtual environment, from an empty folder."""
    folder.mkdir()
    python, rulesmith = venv / "bin" / "python", venv / "bin" / "rulesmith"
    file, version = run(python, "-c", LOADED, cwd=folder).splitlines()
    assert Path(file).is_relative_to(venv)
    assert version == PROJECT["project"]["version"]
    assert "discover" in run(rulesmith, "--help", cwd=folder)
    assert "root-momentum" in run(rulesmith, "rules", cwd=folder)
    assert "source-transformer-200k" in run(rulesmith, "tasks", cwd=folder)
    run(rulesmith, "export", "lion", "-o", "exported.py", cwd=folder)
    run(python, "-c", EXPORTED, cwd=folder)


def test_the_wheel_works_on_its_own(tmp_path):
    wheel = build_wheel(tmp_path)
    shipped = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert shipped == {f"rulesmith/{path}" for path in package_files()}
    assert any(name.endswith("/LICENSE") for name in zipfile.ZipFile(wheel).namelist())
    assert "rulesmith/py.typed" in shipped

    venv = tmp_path / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv, cwd=tmp_path)
    pip = (sys.executable, "-m", "pip", "--python", venv / "bin" / "python", "--disable-pip-version-check")
    run(*pip, "install", "--no-deps", "--no-index", wheel, cwd=tmp_path)
    # The dependencies of this environment stand behind the wheel. Its editable rulesmith does not: the .pth file that
    # finds the checkout is read in a site directory only, and a folder that a .pth file names is none.
    site = run(venv / "bin" / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path)
    Path(site.strip(), "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    assert_wheel_works(venv, tmp_path / "empty")


@pytest.mark.slow
def test_the_wheel_installs_from_the_index(tmp_path):
    venv = tmp_path / "venv"
    run(sys.executable, "-m", "venv", venv, cwd=tmp_path)
    run(venv / "bin" / "python", "-m", "pip", "install", build_wheel(tmp_path), cwd=tmp_path)
    assert_wheel_works(venv, tmp_path / "empty")
