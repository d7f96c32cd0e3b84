"""The wheel that `make wheel` builds: it installs without Rust and without a network, and runs.

    make wheel
"""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel():
    wheels = list((ROOT / "target" / "wheels").glob("stopinator-*.whl"))
    if not wheels:
        pytest.skip("there is no wheel: make wheel builds one")
    [wheel] = wheels
    return wheel


def test_it_holds_the_command_line_alone(wheel):
    with zipfile.ZipFile(wheel) as package:
        programs = [name for name in package.namelist() if "/scripts/" in name]
        assert [Path(name).name for name in programs] == ["stopinator"]
        assert b"lambda-runtime" not in package.read(programs[0]).lower()


@pytest.mark.skipif(sys.platform != "linux", reason="manylinux is for Linux")
def test_it_runs_on_any_linux_of_the_last_ten_years(wheel):
    assert "manylinux2014" in wheel.name


def test_it_installs_into_a_fresh_environment_and_runs(wheel, tmp_path):
    venv.create(tmp_path, with_pip=True)
    python, program = tmp_path / "bin" / "python", tmp_path / "bin" / "stopinator"
    subprocess.run(
        [python, "-m", "pip", "install", "--no-index", "--disable-pip-version-check", wheel], check=True, env={}
    )
    said = subprocess.run([program, "check", "weekday 08:00-18:00"], env={"LANG": "C.UTF-8"}, text=True, capture_output=True)
    assert (said.returncode, said.stdout.splitlines()[-1]) == (1, "  try: weekdays 08:00-18:00")
    said = subprocess.run([program, "--version"], env={}, text=True, capture_output=True)
    assert said.stdout.startswith("stopinator ")
