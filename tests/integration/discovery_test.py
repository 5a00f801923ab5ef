"""examples/discovery: a service in Python and one in Go, which find each other without the library."""
import os
import shutil
import subprocess
import urllib.request

import pytest

from conftest import BUILD, IS_SANITIZED, ROOT, wait_until

FOLDER = ROOT / "examples/discovery"
PYTHON = "/usr/bin/python3"  # Debian's, which has Debian's psycopg2

pytestmark = [
    pytest.mark.skipif(IS_SANITIZED, reason="its programs are tested one by one"),
    pytest.mark.skipif(shutil.which("go") is None, reason="Go is not installed"),
    pytest.mark.skipif(
        subprocess.run([PYTHON, "-c", "import psycopg2"], check=False,
                       capture_output=True).returncode != 0,
        reason="psycopg2 is not installed"),
]


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    folder = tmp_path_factory.mktemp("go")
    program = folder / "worker"
    subprocess.run(["go", "build", "-o", program, FOLDER / "worker.go"], check=True, cwd=FOLDER,
                   env={"GOCACHE": str(folder / "cache"), **os.environ, "CGO_ENABLED": "0"})
    return program


def ask(comrade, role, path):
    """What the role's only member answers; nothing while it is not listed."""
    found = comrade.list("--role", role)
    if not found:
        return ""
    address = found[0]["metadata"]
    url = f"http://{address['ip']}:{address['port']}{path}"
    with urllib.request.urlopen(url, timeout=10) as response:
        return response.read().decode()


def test_services_find_each_other_by_the_view_the_list_and_the_file(comrade_on_postgres, worker,
                                                                    tmp_path):
    comrade = comrade_on_postgres
    rendered = tmp_path / "web-servers"
    path = f"{BUILD}:{os.environ['PATH']}"
    comrade.start("watch", "--role", "web", "--line", "{ip}:{port}", "--output", rendered)
    comrade.start("run", "--role", "web", "--port", "auto", "--", PYTHON, FOLDER / "web.py",
                  env={"DATABASE_URL": comrade.store_url})
    comrade.start("run", "--role", "worker", "--port", "auto", "--pass-store", "--", worker,
                  env={"WEB_SERVERS": str(rendered), "PATH": path})

    def says(role, where, what):
        return wait_until(lambda: what in ask(comrade, role, where), f"{role}{where}: {what}")

    wait_until(lambda: comrade.list("--role", "web"), "web is listed")
    wait_until(lambda: comrade.list("--role", "worker"), "worker is listed")
    says("web", "/others", "hello from worker, process")
    says("worker", "/others", "hello from web, process")
    wait_until(rendered.exists, "the file is there")
    says("worker", "/others-from-file", "hello from web, process")

    worker_id = comrade.list("--role", "worker")[0]["id"]
    comrade("kill", worker_id, "--force", check=0)
    wait_until(lambda: ask(comrade, "web", "/others") == "", "the view has no worker any more")
