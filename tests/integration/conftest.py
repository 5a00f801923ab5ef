"""Fixtures of the integration tests: the program, a fresh store, agents that are gone afterwards.

COMRADE_BUILD_DIR names the build to test (default: build/). No COMRADE_ variable of whoever runs
the tests reaches the program.
"""
import json
import os
import pathlib
import signal
import subprocess
import time
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("COMRADE_BUILD_DIR", ROOT / "build")).resolve()
PROGRAM = BUILD / "comrade"
MODULES = BUILD / "modules"
POSTGRES_KEEPER = ROOT / "tests/lib/postgres_server.py"
DATASTORE_SERVER = ROOT / "tests/lib/datastore_server.py"
IS_SANITIZED = "COMRADE_TEST_SANITIZED" in os.environ
# How long anything may take before it counts as hanging. Nothing is measured with it.
HANG_S = 120 if IS_SANITIZED else 60


def clean_environment(**variables):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COMRADE_")}
    return {**kept, "COMRADE_MODULE_PATH": str(MODULES), **variables}


def wait_until(condition, what, limit_s=HANG_S):
    """Returns the first true value of condition(); asks 50 times a second."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {limit_s} s: {what}")


class Comrade:
    """The program on one store. What else it is given goes into its environment."""

    def __init__(self, store_url, folder, **environment):
        self.store_url = store_url
        self.folder = folder
        self.environment = environment
        self.started = []

    def variables(self, more):
        return clean_environment(COMRADE_STORE=self.store_url, **{**self.environment, **more})

    def __call__(self, *arguments, check=None, **options):
        """Runs a verb to its end: a CompletedProcess with text. check: the exit code to demand."""
        environment = self.variables(options.pop("env", {}))
        done = subprocess.run([PROGRAM, *map(str, arguments)], env=environment, text=True,
                              capture_output=True, timeout=HANG_S, check=False,
                              stdin=options.pop("stdin", subprocess.DEVNULL), **options)
        if check is not None:
            assert done.returncode == check, f"{arguments}: {done}"
        return done

    def list(self, *arguments):
        """`comrade list --json`, as a list of dicts; empty while nobody has made the store."""
        done = self("list", "--json", *arguments)
        if done.returncode == 5 and "it is made by the first" in done.stderr:
            return []
        assert done.returncode == 0, done
        return [json.loads(line) for line in done.stdout.splitlines()]

    def start(self, *arguments, **options):
        """Starts a verb that stays, usually `run`. Its streams go to files: see output()."""
        environment = self.variables(options.pop("env", {}))
        name = self.folder / f"process-{len(self.started)}"
        with open(f"{name}.out", "wb") as out, open(f"{name}.err", "wb") as err:
            process = subprocess.Popen([PROGRAM, *map(str, arguments)], env=environment,
                                       stdin=subprocess.DEVNULL, stdout=out, stderr=err, **options)
        process.out = pathlib.Path(f"{name}.out")
        process.err = pathlib.Path(f"{name}.err")
        self.started.append(process)
        return process

    def stop_all(self):
        for process in self.started:
            for sent in (signal.SIGTERM, signal.SIGTERM, signal.SIGTERM):
                if process.poll() is None:
                    process.send_signal(sent)
                    time.sleep(0.02)
        for process in self.started:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class PostgresServer:
    """A real server of the tests' own, on a free loopback port: see tests/lib/postgres_server.py.

    options are the keeper's: max_connections=20, set=["work_mem=1MB"], hba=[...], standby_of=PORT.
    """

    def __init__(self, **options):
        command = [POSTGRES_KEEPER]
        for name, value in options.items():
            for one in value if isinstance(value, list) else [value]:
                command += ["--" + name.replace("_", "-"), str(one)]
        self.keeper = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       text=True)
        word, *rest = self.keeper.stdout.readline().split()
        if word == "none":
            self.close()
            pytest.skip(" ".join(rest))
        assert word == "ready", rest
        self.port = int(rest[0])
        self.folder = pathlib.Path(rest[1])  # with log, socket/ and data/
        self.version = int(rest[2].split(".")[0])
        self.n_databases = 0

    def order(self, command):
        self.keeper.stdin.write(command + "\n")
        self.keeper.stdin.flush()
        answer = self.keeper.stdout.readline().strip()
        assert answer == "ok", f"{command}: {answer}"

    def stop(self, how="fast"):
        """Down until start(): "fast", "immediate", or "kill" (SIGKILL to all its processes)."""
        self.order(f"down {how}")

    def start(self):
        self.order("up")

    def kill(self):
        """SIGKILL, and up again on the same port and data."""
        self.stop("kill")
        self.start()

    def restart(self):
        self.stop("immediate")
        self.start()

    def pause(self):
        """SIGSTOP to all its processes."""
        self.order("pause")

    def resume(self):
        self.order("resume")

    def url(self, database, user="comrade"):
        return f"postgres://{user}@127.0.0.1:{self.port}/{database}"

    def fresh_database(self):
        """The URL, for the role comrade that owns it, of a database that nobody has used."""
        name = f"fresh_{self.n_databases}"
        self.n_databases += 1
        self.sql(f"CREATE DATABASE {name} OWNER comrade")
        return self.url(name)

    def sql(self, text, url=None, check=0):
        """Runs SQL as superuser by psql, in the database of a URL, and returns what it printed:
        columns separated by |, a line a row. check: its exit code; 3 is "the SQL failed"."""
        database = url.rpartition("/")[2].partition("?")[0] if url else "postgres"
        done = subprocess.run(
            ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", self.folder / "socket",
             "-p", str(self.port), "-U", "postgres", "-d", database],
            input=text, text=True, capture_output=True, timeout=HANG_S, check=False)
        assert done.returncode == check, f"{text}: {done}"
        return (done.stdout if check == 0 else done.stderr).strip()

    def close(self):
        self.keeper.stdin.close()
        self.keeper.wait(HANG_S)


@pytest.fixture(scope="session")
def postgres_server():
    """One server for all tests; whoever takes it down or pauses it puts it right again."""
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture
def postgres_url(postgres_server):
    """A fresh database."""
    return postgres_server.fresh_database()


@pytest.fixture
def comrade_on_postgres(postgres_url, tmp_path):
    """The program on a fresh PostgreSQL database."""
    program = Comrade(postgres_url, tmp_path)
    yield program
    program.stop_all()


class DatastoreServer:
    """Speaks Datastore's REST v1 on a free loopback port: see tests/lib/datastore_server.py."""

    def __init__(self, *options):
        self.options = options
        self.port = 0  # any that is free
        self.n_projects = 0
        self.start()

    def start(self):
        """Empty; after kill() on the same port."""
        self.process = subprocess.Popen([DATASTORE_SERVER, f"--port={self.port}", *self.options],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        word, port = self.process.stdout.readline().split()
        assert word == "ready"
        self.port = int(port)
        self.host = f"127.0.0.1:{port}"

    def kill(self):
        self.process.kill()
        self.process.wait(HANG_S)

    def order(self, command):
        """Returns what it answered, if anything."""
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        word, _, said = self.process.stdout.readline().strip().partition(" ")
        assert word == "ok", f"{command}: {said}"
        return json.loads(said) if said else None

    def fresh_url(self):
        """Of a project that nobody has used, nor does in another run of the tests: agents lock ids by it."""
        self.n_projects += 1
        return f"datastore://test-{os.getpid()}-{self.n_projects}"

    def ask(self, url, method, **body):
        """One request of the API, on the project of a URL."""
        project = url.removeprefix("datastore://").partition("/")[0].partition("?")[0]
        request = urllib.request.Request(f"http://{self.host}/v1/projects/{project}:{method}",
                                         json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=HANG_S) as answer:
            return json.load(answer)

    def look_up(self, url, name, kind="ComradeServer"):
        """The properties of an entity of the default namespace; None: there is none."""
        key = {"path": [{"kind": kind, "name": name}]}
        found = self.ask(url, "lookup", keys=[key]).get("found", [])
        return found[0]["entity"]["properties"] if found else None

    def put(self, url, name, properties, kind="ComradeServer"):
        entity = {"key": {"path": [{"kind": kind, "name": name}]}, "properties": properties}
        self.ask(url, "commit", mode="NON_TRANSACTIONAL", mutations=[{"upsert": entity}])

    def heal(self):
        for command in ("faults clear", "thaw", "clock 0"):
            self.order(command)

    def close(self):
        self.process.stdin.close()
        self.process.wait(HANG_S)


@pytest.fixture(scope="session")
def shared_datastore_server():
    server = DatastoreServer("--database=orders")
    yield server
    server.close()


@pytest.fixture
def datastore_server(shared_datastore_server):
    """One server for all tests, without a fault before each and after it."""
    shared_datastore_server.heal()
    yield shared_datastore_server
    shared_datastore_server.heal()


@pytest.fixture
def comrade_on_datastore(datastore_server, tmp_path):
    """The program on a fresh project of the Datastore server, which asks for no credentials."""
    program = Comrade(datastore_server.fresh_url(), tmp_path,
                      DATASTORE_EMULATOR_HOST=datastore_server.host)
    yield program
    datastore_server.heal()
    program.stop_all()


@pytest.fixture
def comrade(tmp_path):
    """The program on a fresh SQLite store; what it started is stopped afterwards."""
    program = Comrade(f"sqlite:{tmp_path}/comrade.db", tmp_path)
    yield program
    program.stop_all()
