"""examples/nginx and examples/haproxy: the real proxies under a steady load, while members are killed.

Neither may try another server when one has failed, and each request comes on a connection of its
own, so that every server that was asked too late is a failed request. A run lasts as long as one
drain of the default's length and spends nearly all of it waiting.
"""
import http.client
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

from conftest import HANG_S, IS_SANITIZED, ROOT, Comrade, wait_until

EXAMPLES = ROOT / "examples"
PATH = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
DRAIN_S = 5
N_QUICK, N_SLOW, SLOW_MS = 4, 4, 400

pytestmark = [
    pytest.mark.skipif(IS_SANITIZED, reason="its programs are tested one by one"),
    pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed"),
]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def on_port(text, port):
    """An example's configuration, which listens on 8000, on another port of the loopback."""
    assert ":8000" in text or "listen 8000" in text
    return text.replace("bind :8000", f"bind 127.0.0.1:{port}").replace(
        "listen 8000", f"listen 127.0.0.1:{port}")


class Proxy:
    def __init__(self, program, folder):
        self.program = shutil.which(program, path=PATH)
        if self.program is None:
            pytest.skip(f"{program} is not installed")
        self.folder = folder / program
        self.folder.mkdir()
        self.servers = self.folder / "app.servers"
        self.port = free_port()
        self.process = None

    def start(self, *arguments):
        with open(self.folder / "log", "wb") as log:
            self.process = subprocess.Popen([self.program, *arguments], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, cwd=self.folder)
        wait_until(self.is_listening, f"{self.program} listens")

    def is_listening(self):
        assert self.process.poll() is None, (self.folder / "log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(HANG_S)


class Nginx(Proxy):
    LINE = "server {ip}:{port};"

    def __init__(self, folder):
        super().__init__("nginx", folder)
        self.conf = self.folder / "nginx.conf"
        user = "user root;\n" if os.geteuid() == 0 else ""
        temporary = "".join(f"    {name}_temp_path {self.folder}/{name};\n" for name in
                            ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        self.conf.write_text(
            f"{user}daemon off;\npid {self.folder}/pid;\nerror_log stderr;\nworker_processes 2;\n"
            f"events {{}}\nhttp {{\n{temporary}    access_log off;\n"
            "    proxy_next_upstream off;\n    include app.conf;\n}\n")
        text = (EXAMPLES / "nginx/app.conf").read_text()
        (self.folder / "app.conf").write_text(on_port(text, self.port))
        self.servers.write_text("server 127.0.0.1:9 down;\n")
        self.reload = f"{self.program} -c {self.conf} -e stderr -s reload"
        self.start("-c", str(self.conf), "-e", "stderr")


class Haproxy(Proxy):
    LINE = "server {id} {ip}:{port}"

    def __init__(self, folder):
        super().__init__("haproxy", folder)
        (self.folder / "haproxy.cfg").write_text(
            f"global\n    stats socket {self.folder}/socket mode 600 expose-fd listeners\n"
            "defaults\n    mode http\n    retries 0\n    option httpclose\n    timeout connect 5s\n"
            "    timeout client 30s\n    timeout server 30s\n")
        head = on_port((EXAMPLES / "haproxy/app.head").read_text(), self.port)
        (self.folder / "app.head").write_text(head)
        (self.folder / "app.cfg").write_text(head)
        self.start("-W", "-p", str(self.folder / "pid"), "-f", "haproxy.cfg", "-f", "app.cfg")
        self.reload = f"PATH={PATH}; {EXAMPLES}/haproxy/reload {self.folder} {self.folder}/pid"


class Load:
    """Requests one after the other, in several threads, until it is stopped."""

    def __init__(self, port):
        self.port = port
        self.failures = []
        self.answered = {}  # process of the server: how many
        self.lock = threading.Lock()
        self.is_ended = threading.Event()
        self.threads = [threading.Thread(target=self.send, args=(path, pause), daemon=True)
                        for path, pause, n in (("/", 0.05, N_QUICK),
                                               (f"/slow?ms={SLOW_MS}", 0.01, N_SLOW))
                        for _ in range(n)]
        for thread in self.threads:
            thread.start()

    def ask(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=HANG_S)
        try:
            connection.request("GET", path, headers={"Connection": "close"})
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def send(self, path, pause):
        while not self.is_ended.wait(pause):
            try:
                status, text = self.ask(path)
                problem = None if status == 200 else f"status {status}"
            except (OSError, http.client.HTTPException) as failure:
                problem = repr(failure)
            with self.lock:
                if problem:
                    self.failures.append(f"{time.time():.3f} {path}: {problem}")
                else:
                    process = int(text.split()[3])  # "hello from process 123 on port 8080"
                    self.answered[process] = self.answered.get(process, 0) + 1

    def stop(self):
        self.is_ended.set()
        for thread in self.threads:
            thread.join(HANG_S)
            assert not thread.is_alive()


class Scene:
    def __init__(self, comrade, proxy, drain_s):
        self.comrade = comrade
        self.proxy = proxy
        self.drain_s = drain_s
        self.agents = {}  # by the id of the member
        self.load = None
        self.n_started = 0

    def start_member(self, member_id=None):
        """A new one, or one that was there before."""
        self.n_started += 1
        member_id = member_id or f"app-{self.n_started}"
        self.agents[member_id] = self.comrade.start(
            "run", "--role", "app", "--id", member_id, "--port", "auto", "--heartbeat", "200ms",
            "--min-healthy-time", "0", "--drain-delay", f"{self.drain_s}s", "--", "node",
            EXAMPLES / "node-http/server.js")
        return member_id

    def begin(self, n_members):
        for _ in range(n_members):
            self.start_member()
        wait_until(lambda: len(self.comrade.list("--available")) == n_members, "all are available")
        self.comrade.start("watch", "--role", "app", "--line", self.proxy.LINE, "--output",
                           self.proxy.servers, "--exec", self.proxy.reload)
        wait_until(self.is_served, "all are in the file")
        quick = Load(self.proxy.port)  # until the last reload has come into effect
        wait_until(lambda: len(quick.answered) >= n_members, "all answer")
        quick.stop()
        self.load = Load(self.proxy.port)

    def is_served(self):
        ports = {member["metadata"]["port"] for member in self.comrade.list()}
        text = self.proxy.servers.read_text() if self.proxy.servers.exists() else ""
        return text.count("\n") == len(ports) and all(f":{port}" in text for port in ports)

    def pid_of(self, member_id):
        return next(member["pid"] for member in self.comrade.list("--all")
                    if member["id"] == member_id)

    def wait_until_serving(self, member_id):
        wait_until(lambda: any(member["id"] == member_id for member in self.comrade.list()),
                   f"{member_id} is listed")
        pid = self.pid_of(member_id)
        wait_until(lambda: pid in self.load.answered, f"{member_id} answers")

    def wait_until_gone(self, *members):
        for member_id in members:
            wait_until(lambda: self.agents[member_id].poll() is not None, f"{member_id} has ended")


@pytest.fixture
def scene(tmp_path, request):
    """scene(PROXY, STORE-URL, DRAIN-SECONDS)"""
    def make(kind, store_url, drain_s=DRAIN_S):
        comrade = Comrade(store_url, tmp_path)
        request.addfinalizer(comrade.stop_all)
        proxy = kind(tmp_path)
        request.addfinalizer(proxy.stop)
        return Scene(comrade, proxy, drain_s)
    return make


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:{tmp_path}/comrade.db"
    return request.getfixturevalue("postgres_url")


def kill_and_restart(scene):
    """Others come, and all of the first members leave, each in another way; one is started again."""
    fresh = [scene.start_member() for _ in range(3)]
    for member_id in fresh:
        scene.wait_until_serving(member_id)
    scene.comrade("kill", "app-2", check=0)
    oldest = scene.comrade("kill-oldest", "--role", "app", "--ids", check=0).stdout.split()
    assert oldest and oldest[0] in ("app-1", "app-3")
    left = next(member_id for member_id in ("app-1", "app-3") if member_id not in oldest)
    scene.agents[left].send_signal(signal.SIGTERM)
    scene.wait_until_gone("app-2", left, *oldest)
    scene.start_member("app-2")
    scene.wait_until_serving("app-2")


def expect_no_failure(scene):
    scene.load.stop()
    assert scene.load.failures == [], scene.proxy.servers.read_text()
    assert len(scene.load.answered) == scene.n_started == 7


def test_nginx_fails_no_request_while_members_are_killed(scene, store_url):
    run = scene(Nginx, store_url)
    run.begin(3)
    kill_and_restart(run)
    expect_no_failure(run)


def test_haproxy_fails_no_request_while_members_are_killed(scene, tmp_path):
    run = scene(Haproxy, f"sqlite:{tmp_path}/comrade.db")
    run.begin(3)
    kill_and_restart(run)
    expect_no_failure(run)


def test_without_a_drain_requests_fail_and_are_noticed(scene, tmp_path):
    """What the others see is seen when it is there."""
    run = scene(Nginx, f"sqlite:{tmp_path}/comrade.db", drain_s=0)
    run.begin(3)
    run.comrade("kill", "app-1", "--force", check=0)
    run.wait_until_gone("app-1")
    wait_until(lambda: run.load.failures, "a request fails")
    run.load.stop()
