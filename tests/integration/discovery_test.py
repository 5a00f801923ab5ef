"""examples/discovery: a service in Python and one in Go, which find each other without the library."""
import os
import shutil
import subprocess
import urllib.request

import pytest

from conftest import BUILD, IS_SANITIZED, ROOT, until

FOLDER = ROOT / "examples/discovery"
PYTHON = "/usr/bin/python3"  # Debian's, which has Debian's psycopg2

pytestmark = [
    pytest.mark.skipif(IS_SANITIZED, reason="its programs are tested one by one"),
    pytest.mark.skipif(shutil.which("go") is None, reason="Go is not installed"),
]


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    program = tmp_path_factory.mktemp("go") / "worker"
    subprocess.run(["go", "build", "-o", program, FOLDER / "worker.go"], check=True, cwd=FOLDER,
                   env={**os.environ, "GOFLAGS": "-mod=mod", "CGO_ENABLED": "0"})
    return program


def get(comrade, role, path):
    found = comrade.members("--role", role)
    if not found or not found[0]["healthy"]:
        return ""
    address = found[0]["metadata"]
    url = f"http://{address['ip']}:{address['port']}{path}"
    with urllib.request.urlopen(url, timeout=10) as response:
        return response.read().decode()
