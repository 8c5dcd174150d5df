"""Every check of the project, each in a fresh virtual environment: `nox -s NAME`."""

from __future__ import annotations

import tempfile
import tomllib
import zipfile
from pathlib import Path

import nox
from nox.command import CommandFailed
from packaging.requirements import Requirement

nox.needs_version = ">=2025.5.1"
# pip's own settings (indexes, constraints, wheel folders) hold in every session.
nox.options.default_venv_backend = "virtualenv"
nox.options.sessions = ["lint", "types", "tests"]

PYPROJECT = nox.project.load_toml("pyproject.toml")
TESTED = "-e.[demo,frames,nats,redis]"


def group(name: str) -> list[str]:
    """Return the requirements of a dependency group; older pips cannot read them."""
    return list(nox.project.dependency_groups(PYPROJECT, name))


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, format and who imports whom."""
    session.install(*group("lint"))
    checks = (
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "."),
        ("lint-imports", "--no-logo", "--no-cache"),
    )
    # One look shows everything: a failing check does not hide the next.
    failed = [" ".join(check) for check in checks if not _passes(session, *check)]
    if failed:
        session.error(f"failed: {'; '.join(failed)}")


@nox.session
def types(session: nox.Session) -> None:
    """Check types, strictly."""
    session.install("-e.[nats,redis]", *group("types"))
    session.run("mypy", *session.posargs)
    session.run("mypy", "examples/executor_plugin/flowdapt_command")


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests, PostgreSQL included; what CI runs."""
    session.install(TESTED, *group("test"))
    session.run("pytest", *(session.posargs or ["tests"]))


@nox.session
def clusters(session: nox.Session) -> None:
    """Run the slow tests on clusters, all those on Ray among them, and an executor from a stranger."""
    session.install(TESTED, *group("test"))
    session.run("pytest", "-m", "clusters and not faults", *(session.posargs or ["tests"]))


@nox.session
def terminal(session: nox.Session) -> None:
    """Run the tests of the screens: models, keys, pictures, tmux, a real browser."""
    session.install(TESTED, *group("test"))
    session.run("pytest", "-m", "terminal and not faults", *(session.posargs or ["tests"]))


@nox.session
def conformance(session: nox.Session) -> None:
    """Run the public contracts over every executor, store and broker."""
    session.install(TESTED, *group("test"))
    session.run("pytest", "tests/conformance", *session.posargs)


@nox.session
def faults(session: nox.Session) -> None:
    """Run the long fault tests; FLOWDAPT_SEED=N repeats a printed seed."""
    session.install(TESTED, *group("test"))
    session.run("pytest", "-m", "faults", *(session.posargs or ["tests"]))


@nox.session
def bench(session: nox.Session) -> None:
    """Measure; print each figure as a ratio to a floor measured in the same run."""
    session.install(TESTED, *group("bench"))
    session.run("python", "-m", "benchmarks", *session.posargs)


PEERS = {
    "flowdapt": [TESTED, *group("bench")],
    "dbos": ["dbos", "numpy"],
    # Prefect's server does not start with newer ones.
    "prefect": ["prefect", "fastapi>=0.139,<0.142", "numpy"],
    "dagster": ["dagster", "dagster-webserver", "numpy"],
    "dask": ["dask[distributed]", "numpy"],
    "ray": ["ray[default]", "numpy"],
}


@nox.session
@nox.parametrize("peer", list(PEERS), ids=list(PEERS))
def bench_peers(session: nox.Session, peer: str) -> None:
    """Measure one peer in its own environment; print the table of all measured so far."""
    session.install(*PEERS[peer])
    session.run("python", "-m", "benchmarks.peers", peer, *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation, follow its links and run its examples."""
    session.install(TESTED, *group("test"), *group("docs"))
    with tempfile.TemporaryDirectory() as site:
        session.run("mkdocs", "build", "--strict", "--quiet", "--site-dir", site)
    session.run("pytest", "tests/docs", *session.posargs)


@nox.session
def screens(session: nox.Session) -> None:
    """Take the pictures of README and documentation anew, from real screens of a real daemon."""
    session.install(TESTED, *group("test"))
    session.run("python", "-m", "tests.docs.portraits")


@nox.session
def build(session: nox.Session) -> None:
    """Build the wheel, install nothing but it, and start the program."""
    session.install("build")
    with tempfile.TemporaryDirectory() as out:
        session.run("python", "-m", "build", "--outdir", out)
        (wheel,) = Path(out).glob("*.whl")
        missing = _tracked_files(session) - set(zipfile.ZipFile(wheel).namelist())
        if missing:
            session.error(f"not in the wheel: {', '.join(sorted(missing))}")
        session.install(str(wheel))
        with session.chdir(out):
            session.run("flowdapt", "--version")
            session.run("flowctl", "--help", silent=True)


@nox.session
def lowest(session: nox.Session) -> None:
    """Run the tests with the lowest version of every library that pyproject.toml admits."""
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "lowest.txt"
        constraints.write_text("\n".join(_lowest_bounds()))
        session.install("-c", str(constraints), TESTED, *group("test"))
    session.run("pytest", "-m", "not faults", *(session.posargs or ["tests"]))


def _passes(session: nox.Session, *command: str) -> bool:
    try:
        session.run(*command)
    except CommandFailed:
        return False
    return True


def _lowest_bounds() -> list[str]:
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [
        *project["dependencies"],
        *extras["demo"],
        *extras["frames"],
        *extras["nats"],
        *extras["redis"],
    ]
    return [
        f"{requirement.name}=={bound.version}"
        for requirement in map(Requirement, wanted)
        for bound in requirement.specifier
        if bound.operator == ">="
    ]


def _tracked_files(session: nox.Session) -> set[str]:
    listing = session.run("git", "ls-files", "flowdapt", external=True, silent=True)
    return set(str(listing).split())
