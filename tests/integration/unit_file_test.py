"""The systemd unit: systemd understands it, and its numbers fit those of `comrade run`."""
import configparser
import shutil
import subprocess

import pytest

from conftest import HANG_S, PROGRAM, ROOT

UNIT = ROOT / "packaging" / "comrade@.service"


def read_unit():
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str
    parser.read_string(UNIT.read_text())
    return parser


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_understands_it(tmp_path):
    unit = tmp_path / "comrade@app.service"
    text = UNIT.read_text().replace("ExecStart=comrade ", f"ExecStart={PROGRAM} ")
    unit.write_text(text.replace("Documentation=man:comrade(1)\n", ""))  # Not installed here.
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True,
                          timeout=HANG_S, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_stop_has_time_to_drain():
    service = read_unit()["Service"]
    assert service["KillMode"] == "mixed"
    assert int(service["TimeoutStopSec"]) > 5 + 5 + 30 + 2


def test_it_stays_down_when_it_was_asked_to():
    service = read_unit()["Service"]
    assert service["Restart"] == "on-failure"
    assert service["RestartPreventExitStatus"].split() == ["90", "91"]
