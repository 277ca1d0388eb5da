"""Build the sdist and the wheel, install the wheel into empty environments, and use it there.

    python -m tests.package.build_and_install                                     # with the Python that runs this
    python -m tests.package.build_and_install --python python3.12 --python python3.13
    python -m tests.package.build_and_install --keep DIR                          # keeps the environments

The wheel is built from the sdist, so a file that the sdist lacks is missed here. `make package` runs it.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SMOKE = Path(__file__).with_name("smoke.py")
CONSTRAINTS = ROOT / "constraints.txt"


def build(out: Path) -> tuple[Path, Path]:
    """Return the sdist, and the wheel that is built from it."""
    shutil.rmtree(out, ignore_errors=True)
    _call(sys.executable, "-m", "build", "--outdir", out, ROOT)
    (sdist,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    return sdist, wheel


def check_contents(sdist: Path, wheel: Path) -> None:
    """Raise unless both hold every file of the package, and nothing else lands in site-packages."""
    expected = package_files()
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    with tarfile.open(sdist) as archive:
        source = {name.partition("/")[2] for name in archive.getnames()}
    assert names == expected, f"wheel: {sorted(names ^ expected)}"
    assert expected <= source, f"sdist: {sorted(expected - source)}"
    assert {"LICENSE", "README.md", "pyproject.toml", "CHANGELOG.md", "CITATION.cff"} <= source


def package_files() -> set[str]:
    """Return the files of the package that git knows."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "netaug"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return {name for name in done.stdout.splitlines() if (ROOT / name).is_file()}


def install_and_use(python: str, wheel: Path, folder: Path) -> None:
    """Install the wheel alone into a fresh environment, and run what a user would run first."""
    environment = folder / f"venv-{Path(python).name}"
    _call(python, "-m", "venv", environment)
    inside = environment / "bin" / "python"
    _call(inside, "-m", "pip", "install", "--quiet", "-c", CONSTRAINTS, wheel)
    work = folder / f"work-{Path(python).name}"
    work.mkdir()
    _call(inside, "-I", SMOKE, cwd=work)  # isolated: neither this folder nor PYTHONPATH is searched


def _call(*words: str | Path, cwd: Path | None = None) -> None:
    print("$", *words, flush=True)
    subprocess.run([str(word) for word in words], check=True, cwd=cwd)


def main() -> int:
    """Build and check with each Python that was named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", action="append", help="an interpreter to install with; may be repeated")
    parser.add_argument("--keep", type=Path, help="an empty folder for the environments, which then stay")
    arguments = parser.parse_args()
    sdist, wheel = build(ROOT / "dist")
    check_contents(sdist, wheel)
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for python in arguments.python or [sys.executable]:
            install_and_use(python, wheel, folder.resolve())
    print(f"ok: {sdist.name} and {wheel.name} with {', '.join(arguments.python or [sys.executable])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
