"""The project's own files agree with each other, and its verbs do what they say."""

import ast
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import nbformat
import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK_TEXT = (ROOT / "requirements.lock").read_text()
LOCK = [line.removesuffix(" \\") for line in LOCK_TEXT.splitlines() if line[:1] not in ("#", " ")]
NOTEBOOKS = sorted(
    path for path in (ROOT / "notebooks").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts
)

RUNTIME = [Requirement(text) for text in PROJECT["project"]["dependencies"]]
EXTRAS = PROJECT["project"]["optional-dependencies"]
DEV = [Requirement(text) for extra in EXTRAS.values() for text in extra]
PYTHONS = ["3.11", "3.12"]
ENVIRONMENTS = ["environment.yml", "binder/environment.yml"]

# What conda-forge names or divides otherwise, and what only conda has to be told.
ON_CONDA = {"dask": ["dask-core", "distributed"]}
ONLY_CONDA = {"python", "pip", "libgdal-jp2openjpeg"}


def run(*command, cwd, **env):
    """Run a command and return it finished, its two streams as one text."""
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )


def conda_environment(path):
    """Return a conda file's bounds by package name, and its pip section."""
    entries = yaml.safe_load((ROOT / path).read_text())["dependencies"]
    pip = [line for entry in entries if isinstance(entry, dict) for line in entry["pip"]]
    specs = [re.fullmatch(r"([a-z0-9_-]+)(.*)", e).groups() for e in entries if isinstance(e, str)]
    return {canonicalize_name(name): bounds for name, bounds in specs}, pip


def expected_on_conda():
    """Return what the conda files must hold, from pyproject's runtime dependencies."""
    names = {r.name: ON_CONDA.get(r.name, [r.name]) for r in RUNTIME}
    return {canonicalize_name(name): r.specifier for r in RUNTIME for name in names[r.name]}


def pins(python):
    """Return the version that the lock installs of each package, for one Python on Linux."""
    environment = default_environment() | {
        "python_version": python,
        "python_full_version": f"{python}.9",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "sys_platform": "linux",
        "os_name": "posix",
    }
    found = {}
    for line in LOCK:
        pin = Requirement(line)
        if pin.marker is None or pin.marker.evaluate(environment):
            assert pin.name not in found, f"{pin.name} is locked twice for Python {python}"
            found[pin.name] = str(pin.specifier).removeprefix("==")
    return found


@pytest.mark.parametrize("path", ENVIRONMENTS)
def test_conda_files_hold_what_pyproject_asks_for(path):
    """Each conda file has pyproject's runtime packages with the same bounds, and no others."""
    found, _ = conda_environment(path)
    expected = expected_on_conda()
    assert set(found) - ONLY_CONDA == set(expected)
    assert {n: b for n, b in found.items() if n in expected} == {
        n: ",".join(map(str, bounds)) for n, bounds in expected.items()
    }
    assert set(found) >= ONLY_CONDA


@pytest.mark.parametrize("path", ENVIRONMENTS)
def test_conda_files_use_conda_forge_alone(path):
    """Packages come from conda-forge, so that GDAL is the same library for all of them."""
    assert yaml.safe_load((ROOT / path).read_text())["channels"] == ["conda-forge", "nodefaults"]


def test_clone_is_used_from_conda_but_not_from_binders_environment():
    """The root file installs the clone; Binder's must not, or each commit would remake it."""
    assert conda_environment("environment.yml")[1] == ["-e ."]
    pip = conda_environment("binder/environment.yml")[1]
    assert not [line for line in pip if re.match(r"-e|-r|--editable|--requirement|\.", line)]


@pytest.mark.parametrize("python", PYTHONS)
def test_lock_satisfies_pyproject(python):
    """Every dependency, for running and for developing, is locked within its bounds."""
    locked = pins(python)
    for requirement in RUNTIME + DEV:
        version = locked.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is not locked for Python {python}"
        assert requirement.specifier.contains(version), f"{requirement} is locked as {version}"


def test_lock_has_exact_versions_and_nothing_else():
    """A line is a package, its version and a marker: no index, address, path or other option."""
    odd = [x for x in LOCK if not re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.+!]*( ; [^/@]+)?", x)]
    assert LOCK
    assert not odd
    assert not re.search(r"://|--(?!hash=)|\bwww\.", LOCK_TEXT)


def test_lock_has_hashes_of_all_files():
    """Each package names the files that it may come as, by SHA-256 and by nothing weaker."""
    logical = re.sub(r" \\\n\s+", " ", LOCK_TEXT).splitlines()
    lines = [line for line in logical if line[:1] != "#"]
    assert len(lines) == len(LOCK)
    odd = [
        x for x in lines if not re.fullmatch(r"[^-\s]\S+( ; .+?)?( --hash=sha256:[0-9a-f]{64})+", x)
    ]
    assert not odd


def test_setup_checks_the_hashes():
    """Both ways to install refuse a file that the lock does not know; s2kit comes after them."""
    plan = run("make", "-n", "-W", "requirements.lock", "setup", cwd=ROOT).stdout
    locked = re.findall(r"-m (uv pip|pip) install .*--require-hashes -r requirements.lock", plan)
    assert locked == ["uv pip", "pip"]
    assert plan.count("--no-deps -e .") == 2
    assert plan.rindex("requirements.lock") < plan.index("-e .")
    lock = run("make", "-n", "lock", cwd=ROOT).stdout
    assert "--generate-hashes" in lock


def test_python_versions_agree():
    """pyproject, ruff, .python-version and both conda files speak of the same Pythons."""
    assert PROJECT["project"]["requires-python"] == f">={PYTHONS[0]}"
    assert PROJECT["tool"]["ruff"]["target-version"] == "py" + PYTHONS[0].replace(".", "")
    assert (ROOT / ".python-version").read_text().strip() == PYTHONS[-1]
    for path in ENVIRONMENTS:
        assert conda_environment(path)[0]["python"] == f"={PYTHONS[-1]}"


def test_every_dependency_has_a_reason():
    """Behind each dependency in pyproject a comment says what it is for."""
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    for requirement in PROJECT["project"]["dependencies"] + [
        text for extra in PROJECT["project"]["optional-dependencies"].values() for text in extra
    ]:
        (line,) = [line for line in lines if line.strip().startswith(f'"{requirement}"')]
        assert re.search(r'",\s*# \S.{4,}', line), f"{requirement} has no reason"


def test_citation_agrees_with_pyproject():
    """What people cite has the package's licence and address; its version is the tag's."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = PROJECT["project"]
    assert citation["license"] == project["license"]
    assert citation["repository-code"] == project["urls"]["Homepage"]


def test_licences_are_whole():
    """Code is BSD 3-Clause and the course's text CC BY 4.0, both in full."""
    code, course = ((ROOT / name).read_text() for name in ("LICENSE", "LICENSE-course"))
    assert code.startswith("BSD 3-Clause License\n\nCopyright (c) 2026, The s2kit authors\n")
    assert code.rstrip().endswith("EVEN IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE.")
    assert "Creative Commons Attribution 4.0 International Public License" in course
    assert [n for n in range(1, 9) if not re.search(rf"^Section {n} ", course, re.M)] == []


def test_link_for_nbgitpuller_leads_to_a_notebook():
    """The guide's link names this repository, and a notebook below the folder that it becomes."""
    text = (ROOT / "docs/instructors.md").read_text()
    (link,) = re.findall(r"https://\S+/git-pull\?\S+", text)
    parts = urlsplit(link)
    assert parts.path == "/hub/user-redirect/git-pull"
    given = dict(parse_qsl(parts.query, strict_parsing=True))
    assert set(given) == {"repo", "branch", "urlpath"}
    assert given["repo"] == PROJECT["project"]["urls"]["Homepage"]
    folder = given["repo"].rsplit("/", 1)[1]
    assert given["urlpath"].startswith(f"lab/tree/{folder}/")
    assert (ROOT / given["urlpath"].removeprefix(f"lab/tree/{folder}/")).is_file()


# Binder


def dry_run(folder):
    """Run repo2docker, which writes the Dockerfile, without building it."""
    return run(sys.executable, "-m", "repo2docker", "--no-build", "--debug", ".", cwd=folder)


def test_binder_files_pass_repo2dockers_dry_run():
    """repo2docker accepts the binder folder and uses each of its files."""
    done = dry_run(ROOT)
    assert done.returncode == 0, done.stdout
    for used in ("binder/environment.yml", "binder/postBuild", "binder/start"):
        assert used in done.stdout


@pytest.mark.parametrize("broken", ["dependencies: [python", "- python=3.12", "dependencies: 3"])
def test_dry_run_fails_on_a_broken_file(tmp_path, broken):
    """The dry run is a check: an environment that is not one makes it fail."""
    shutil.copytree(ROOT / "binder", tmp_path / "binder")
    (tmp_path / "binder/environment.yml").write_text(broken)
    assert dry_run(tmp_path).returncode != 0


@pytest.mark.parametrize("script", ["binder/postBuild", "binder/start", ".ci/run"])
def test_scripts_stop_at_the_first_error(script):
    """Each shell script is executable, parses, and stops at the first error."""
    path = ROOT / script
    code = [x for x in path.read_text().splitlines() if x.strip() and not x.startswith("#")]
    assert os.access(path, os.X_OK)
    assert code[0] == "set -euo pipefail"
    assert run("bash", "-n", path, cwd=ROOT).returncode == 0


def test_binder_start_limits_and_hands_over():
    """The program gets its arguments, small caches and one thread; its exit status returns."""
    show = "import os, sys; print(os.environ['GDAL_CACHEMAX'], sys.argv[1]); sys.exit(7)"
    done = run(ROOT / "binder/start", sys.executable, "-c", show, "two words", cwd=ROOT)
    assert (done.returncode, done.stdout) == (7, "64 two words\n")
    assert (ROOT / "binder/start").read_text().endswith('exec "$@"\n')


# The verbs


@pytest.fixture
def tree(tmp_path):
    """Return a tree with the Makefile, an environment that counts as up to date, two notebooks."""
    for name in ("pyproject.toml", "requirements.lock", "Makefile"):
        shutil.copy(ROOT / name, tmp_path)
        os.utime(tmp_path / name, (1, 1))
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/.locked").touch()
    (tmp_path / "notebooks").mkdir()
    for name in ("00_start_here", "01_build_cube"):
        (tmp_path / f"notebooks/{name}.ipynb").touch()
    return tmp_path


@pytest.fixture(autouse=True)
def apart(monkeypatch):
    """Keep the make that runs these tests out of the makes that they run."""
    for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES"):
        monkeypatch.delenv(name, raising=False)


def test_make_lists_the_verbs():
    """`make` alone explains each verb."""
    listed = re.findall(r"^  make (\w+) +\S+", run("make", cwd=ROOT).stdout, re.M)
    assert listed == [
        "help",
        "setup",
        "cube",
        "real",
        "verify",
        "notebooks",
        "site",
        "release",
        "collect",
        "grade",
        "feedback",
        "test",
        "coverage",
        "lint",
        "format",
        "lock",
        "dist",
        "clean",
    ]


@pytest.mark.parametrize("changed", ["requirements.lock", "pyproject.toml"])
def test_setup_is_done_again_only_after_a_change(tree, changed):
    """An environment that is up to date is left alone; a newer lock or pyproject renews it."""
    assert run("make", "-q", "setup", cwd=tree).returncode == 0
    os.utime(tree / changed)
    os.utime(tree / ".venv/.locked", (2, 2))
    assert run("make", "-q", "setup", cwd=tree).returncode == 1


@pytest.mark.parametrize(
    ("disguise", "says"),
    [
        ("sys.version_info = (3, 10, 13)", "needs Python 3.11 or 3.12"),
        ("sys.version_info, sys.modules['ensurepip'] = (3, 11), None", "install python3-venv"),
    ],
)
def test_setup_says_what_is_missing(tree, disguise, says):
    """A Python that is too old or cannot make environments ends in advice, before any change."""
    python = tree / "python"
    python.write_text(f"#!{sys.executable}\nimport sys\n{disguise}\nexec(sys.argv[2])\n")
    python.chmod(0o755)
    shutil.rmtree(tree / ".venv")
    done = run("make", "setup", f"PYTHON={python}", cwd=tree)
    assert done.returncode != 0
    assert says in done.stdout
    assert not (tree / ".venv").exists()


def test_a_real_cube_is_made_beside_the_other(tree):
    """`make real` runs the notebook of the cube once, with parameters of its own."""
    plan = run("make", "-n", "real", cwd=tree).stdout
    (command,) = re.findall(r"run_notebook\.py notebooks/01_build_cube\.ipynb (.*)", plan)
    assert command.startswith("build/real/01_build_cube.ipynb -p source earth-search ")
    assert command.endswith(" -p store ../data/real.zarr")


def test_all_notebooks_run_after_the_cube(tree):
    """`make notebooks` builds the cube first, and then runs the others."""
    plan = run("make", "-n", "notebooks", cwd=tree).stdout
    ran = re.findall(r"run_notebook\.py notebooks/(\w+)\.ipynb", plan)
    assert ran == ["01_build_cube", "00_start_here"]


def test_exercises_run_solved_after_the_cube(tree):
    """`make notebooks` runs an exercise's source in the folder of the students' copy."""
    source = tree / "notebooks/exercises/source"
    source.mkdir(parents=True)
    for path in (
        source / "02.ipynb",
        source.parent / "02.ipynb",
        source.parent / "final_project.ipynb",
    ):
        path.touch()
    plan = run("make", "-n", "notebooks", cwd=tree).stdout
    ran = re.findall(r"run_notebook\.py notebooks/(.*)", plan)
    assert ran[0].startswith("01_build_cube.ipynb ")
    assert sorted(ran[2:]) == [
        "exercises/final_project.ipynb build/exercises/final_project.ipynb",
        "exercises/source/02.ipynb build/exercises/02.ipynb --cwd notebooks/exercises",
    ]


def test_table_of_what_notebooks_took(tmp_path):
    """The table lists notebooks, then exercises, with seconds and MB, and no other runs."""
    for name, seconds in {"exercises/02": 21.4, "02": 9.6, "real/01": 5}.items():
        path = tmp_path / f"{name}.took.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"seconds": seconds, "peak_mb": 512.3}))
    printed = run(sys.executable, ROOT / "tools/run_notebook.py", tmp_path, cwd=ROOT).stdout
    lines = [line.split() for line in printed.splitlines()]
    assert lines == [
        ["notebook", "time", "peak", "memory"],
        ["02", "10", "s", "512", "MB"],
        ["exercises/02", "21", "s", "512", "MB"],
    ]


def test_ci_fails_where_a_program_is_missing(tmp_path):
    """When installing does not bring a program, the run stops and names it, before any test."""
    (tmp_path / "apt-get").write_text("#!/bin/sh\n")
    (tmp_path / "make").write_text("#!/bin/sh\necho went on\n")
    (tmp_path / "sudo").write_text('#!/bin/sh\nexec "$@"\n')
    for stub in tmp_path.iterdir():
        stub.chmod(0o755)
    for name in ("bash", "sh", "dirname", "id", "env"):
        (tmp_path / name).symlink_to(shutil.which(name))
    done = run(tmp_path / "bash", ROOT / ".ci/run", cwd=tmp_path, PATH=str(tmp_path))
    assert done.returncode == 1
    assert re.search(
        r"^(gdalinfo|nginx|chromium|Rscript|strace) is missing; it is in the package", done.stdout
    )
    assert "went on" not in done.stdout


# The notebooks


def headings(notebook):
    """Return the H1 headings of a notebook's prose."""
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    return re.findall(r"^# .+", re.sub(r"^```.*?^```", "", prose, flags=re.M | re.S), re.M)


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    """Return each notebook of the course in turn."""
    return nbformat.read(request.param, as_version=nbformat.NO_CONVERT)


def test_the_course_has_notebooks():
    """The cube's notebook, which make and Binder run, is there."""
    assert ROOT / "notebooks/01_build_cube.ipynb" in NOTEBOOKS


def test_notebook_is_stripped(notebook):
    """No output, no execution count, and nothing of the author's own Python is kept."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.id for cell in code if cell.outputs or cell.execution_count] == []
    assert [cell.id for cell in notebook.cells if "execution" in cell.metadata] == []
    assert "widgets" not in notebook.metadata
    assert "version" not in notebook.metadata.get("language_info", {})
    assert notebook.metadata.kernelspec.name == "python3"


def test_notebook_has_stable_ids(notebook):
    """Each cell has its own id in the file, and they are not just the cells' numbers."""
    assert (notebook.nbformat, notebook.nbformat_minor) >= (4, 5)
    ids = [cell.get("id") for cell in notebook.cells]
    assert None not in ids
    assert len(set(ids)) == len(ids)
    assert ids != [str(number) for number in range(len(ids))]


def test_notebook_is_one_lesson(notebook):
    """A notebook is valid, has one H1 and at most 40 cells, and at most one parameters cell."""
    nbformat.validate(notebook)
    assert len(headings(notebook)) == 1
    assert len(notebook.cells) <= 40
    assert sum("parameters" in cell.metadata.get("tags", []) for cell in notebook.cells) <= 1


# The tests


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("test_*.py")), ids=lambda p: p.stem)
def test_each_test_says_what_must_hold(path):
    """Each test has a docstring, so that a failure can be read without the code."""
    functions = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.FunctionDef)]
    tests = [f for f in functions if f.name.startswith("test_")]
    assert [f.name for f in tests if not ast.get_docstring(f)] == []


def test_scripts_that_share_a_process_have_names_of_their_own():
    """No two modules outside the package share a name: the second import would get the first."""
    parts = (ROOT / "tests", ROOT / "tools", ROOT / "notebooks")
    names = Counter(path.stem for part in parts for path in part.rglob("*.py"))
    shared = {name for name, count in names.items() if count > 1}
    assert shared <= {"__init__", "__main__", "conftest"}


def test_cells_are_short(notebook):
    """No code cell has more than 15 lines, and half of them have at most 6."""
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    lines = [len(source.splitlines()) for source in code]
    assert max(lines) <= 15
    assert statistics.median(lines) <= 6
