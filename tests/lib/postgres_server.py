#!/usr/bin/python3
"""Keeps one PostgreSQL server for the tests, on a free loopback port, in a folder of its own.

It prints `ready PORT FOLDER VERSION`, or `none WHY` where no server is installed, and then obeys
lines from its standard input, answering each with `ok` or `error WHY`:

    down fast|immediate|kill   end the server: asked, told, or SIGKILL to all of its processes
    up                         start it again on the same port and data
    pause, resume              SIGSTOP, SIGCONT to all of its processes

When its input ends, or its parent does, the server is ended and the folder removed. PostgreSQL
refuses to run as root, so that under root it runs as the user postgres, or nobody.

initdb takes seconds: what it makes is kept for all test programs of a user, and copied. The copy is
in memory (/dev/shm) if there is room, which makes databases five times as fast, and on a disk if the
setting fsync=on is asked for.
"""
import argparse
import ctypes
import fcntl
import glob
import hashlib
import os
import pathlib
import pwd
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

START_LIMIT_S = 60
MEMORY, ROOM_BYTES = "/dev/shm", 3 << 30
SOCKET_BASE_MAX = 40  # a socket's path has at most 107 bytes
# Below the ports that the kernel gives to clients: a client that knocks while the server is down
# would else be given the server's port sooner or later, and be connected to itself.
PORTS = range(20000, 32000)
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "shared_buffers": "16MB",
    "fsync": "off",
    # In the folder, where a killed server does not leave it behind.
    "dynamic_shared_memory_type": "mmap",
    "log_line_prefix": "%m [%p] %a ",
    "logging_collector": "off",
    "timezone": "UTC",
}
HBA = ["local all all trust", "host all all 127.0.0.1/32 trust",
       "local replication all trust", "host replication all 127.0.0.1/32 trust"]
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
libc = ctypes.CDLL(None, use_errno=True)


def find_binaries():
    """The folder of initdb and postgres, or None. The newest where the choice is ours."""
    if chosen := os.environ.get("COMRADE_POSTGRES_BIN"):
        folders = [chosen]
    else:
        def version(folder):
            number = folder.split("/")[-2]
            return float(number) if number.replace(".", "").isdigit() else 0.0
        folders = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=version, reverse=True)
        folders += os.environ.get("PATH", "").split(":")
    for folder in folders:
        if all(os.access(os.path.join(folder, name), os.X_OK) for name in ("initdb", "postgres")):
            return pathlib.Path(folder, "postgres").resolve().parent
    return None


def find_user():
    """Who the server runs as, or None for ourselves."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            pass
    raise RuntimeError("there is neither a user postgres nor a user nobody to run a server as")


def hold_lock(path, wait=True):
    """A descriptor that holds the lock until it is closed; None if it is held and wait is false."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


class Shared:
    """What the test programs of a user share: the made data folders, the ports in use."""

    def __init__(self, binaries, user):
        self.binaries, self.user = binaries, user
        base = tempfile.gettempdir()
        self.folder = self.own_folder(base if len(base) < SOCKET_BASE_MAX else "/tmp")

    @staticmethod
    def own_folder(base):
        folder = pathlib.Path(base, f"comrade-tests-{os.geteuid()}")
        folder.mkdir(mode=0o711, exist_ok=True)
        found = folder.lstat()
        if folder.is_symlink() or found.st_uid != os.geteuid() or found.st_mode & 0o022:
            raise RuntimeError(f"{folder} is not a folder that only we can write to")
        return folder

    def server_folder(self, is_durable):
        """A new one, and the lock that says whose keeper lives. Removes those of keepers that were
        killed: nobody holds their locks."""
        base = self.folder
        if not is_durable and self.has_room(MEMORY):
            base = self.own_folder(MEMORY)
        setup = hold_lock(base / "sweep.lock")
        try:
            for folder in base.glob("server-*"):
                try:
                    lock = hold_lock(folder / "lock", wait=False)
                except FileNotFoundError:
                    continue  # removed by its own keeper just now
                if lock is not None:
                    shutil.rmtree(folder, ignore_errors=True)
                    os.close(lock)
            made = pathlib.Path(tempfile.mkdtemp(prefix="server-", dir=base))
            return made, hold_lock(made / "lock")
        finally:
            os.close(setup)

    @staticmethod
    def has_room(path):
        try:
            found = os.statvfs(path)
        except OSError:
            return False
        return os.access(path, os.W_OK) and found.f_bavail * found.f_frsize >= ROOM_BYTES

    def run(self, *command, **options):
        """Runs a program of the server's as the server's user, or raises with what it said."""
        done = subprocess.run([self.binaries / command[0], *command[1:]], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                              cwd=self.folder, **self.credentials(), **options)
        if done.returncode != 0:
            raise RuntimeError(f"{command[0]}: {done.stdout.strip()[-400:]}")
        return done.stdout

    def credentials(self):
        if self.user is None:
            return {}
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}

    def give(self, path):
        if self.user is not None:
            os.chown(path, self.user.pw_uid, self.user.pw_gid)

    def template(self):
        """The data folder to copy, made by the first who comes. Its name says what it is of, so
        that one of another version is not found, and it appears whole or not at all."""
        program = self.binaries / "postgres"
        made_of = f"{program} {program.stat().st_mtime_ns} {self.user and self.user.pw_name} 1"
        name = "template-" + hashlib.sha256(made_of.encode()).hexdigest()[:16]
        final = self.folder / name
        lock = hold_lock(self.folder / f"{name}.lock")
        try:
            if not final.exists():
                making = self.folder / f"{name}.making"
                shutil.rmtree(making, ignore_errors=True)
                making.mkdir(mode=0o700)
                self.give(making)
                self.run("initdb", "-D", making, "-U", "postgres", "--auth=trust", "-E", "UTF8",
                         "--locale=C", "--no-sync")
                self.run("postgres", "--single", "-F", "-D", making, "postgres",
                         input="CREATE ROLE comrade LOGIN\n")
                making.rename(final)
        finally:
            os.close(lock)
        return final

    def port(self):
        """A free port, and the lock that keeps it from other test programs while ours is down."""
        for port in random.sample(PORTS, 200):
            lock = hold_lock(self.folder / f"port-{port}.lock", wait=False)
            if lock is None:
                continue
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                    return port, lock
                except OSError:
                    os.close(lock)
        raise RuntimeError("no port is free")


def stop_with_parent():
    """In the child: a keeper that is killed takes the server along, which cleans up (SIGQUIT)."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)


def children_of(pid):
    found = []
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            text = pathlib.Path(path).read_text()
        except OSError:
            continue
        if int(text.rpartition(")")[2].split()[1]) == pid:
            found.append(int(path.split("/")[2]))
    return found


def send(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


class Server:
    def __init__(self, shared, arguments):
        self.shared, self.arguments = shared, arguments
        self.process = None
        self.paused = []
        self.folder, self.lock = shared.server_folder("fsync=on" in arguments.set)
        self.folder.chmod(0o711)
        (self.folder / "socket").mkdir()
        (self.folder / "socket").chmod(0o755)
        shared.give(self.folder / "socket")
        self.data = self.folder / "data"
        self.port, self.port_lock = shared.port()

    def start(self):
        """Makes the data and starts. What there is of it after a failure, remove() removes."""
        if self.arguments.standby_of:
            self.copy_primary(self.arguments.standby_of)
        else:
            subprocess.run(["cp", "-a", "--reflink=auto", self.shared.template(), self.data],
                           check=True)
        self.configure()
        self.up()

    def copy_primary(self, port):
        self.data.mkdir(mode=0o700)
        self.shared.give(self.data)
        self.shared.run("pg_basebackup", "-D", self.data, "-R", "-h", "127.0.0.1", "-p", str(port),
                        "-U", "postgres", "--checkpoint=fast", "--no-sync")

    def configure(self):
        settings = {**SETTINGS, "port": self.port,
                    "unix_socket_directories": self.folder / "socket",
                    "max_connections": self.arguments.max_connections,
                    **dict(item.split("=", 1) for item in self.arguments.set)}
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as file:
            for name, value in settings.items():
                quoted = str(value).replace("'", "''")
                file.write(f"{name} = '{quoted}'\n")
        with open(self.data / "pg_hba.conf", "w", encoding="utf-8") as file:
            file.write("\n".join([*self.arguments.hba, *HBA, ""]))

    def up(self):
        if self.process is not None:
            raise RuntimeError("it is up")
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [self.shared.binaries / "postgres", "-D", self.data], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, cwd=self.folder, preexec_fn=stop_with_parent,
                start_new_session=True, **self.shared.credentials())
        deadline = time.monotonic() + START_LIMIT_S
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.down("kill")
                text = (self.folder / "log").read_text(errors="replace")[-600:]
                raise RuntimeError("it did not start: " + " / ".join(text.splitlines()))
            time.sleep(0.005)

    def is_ready(self):
        """As pg_ctl decides it: the eighth line of the file that this very process wrote."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return (len(lines) >= 8 and lines[0].strip() == str(self.process.pid)
                and lines[7].strip() in ("ready", "standby"))

    def processes(self):
        """All of its processes. Stops the first, so that it starts no others meanwhile."""
        pid = self.process.pid
        send(pid, signal.SIGSTOP)
        return [pid, *children_of(pid)]

    def pause(self):
        self.paused = self.processes()
        for pid in self.paused:
            send(pid, signal.SIGSTOP)

    def resume(self):
        for pid in reversed(self.paused):
            send(pid, signal.SIGCONT)
        self.paused = []

    def down(self, how):
        """Killed, the first goes last, so that the others do not notice and say goodbye; and all are
        waited for, since a server refuses data that an old one still uses."""
        if self.process is None:
            return
        self.resume()
        if how == "kill":
            pids = self.processes()
            for pid in reversed(pids):
                send(pid, signal.SIGKILL)
            self.process.wait()
            for pid in pids[1:]:
                try:
                    os.waitpid(pid, 0)
                except ChildProcessError:
                    pass
        else:
            self.process.send_signal(signal.SIGINT if how == "fast" else signal.SIGQUIT)
            try:
                self.process.wait(START_LIMIT_S)
            except subprocess.TimeoutExpired:
                self.down("kill")
        self.process = None

    def remove(self):
        self.down("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.shared.folder / f"port-{self.port}.lock").unlink(missing_ok=True)


def obey(server, words):
    match words:
        case ["down", ("fast" | "immediate" | "kill") as how]:
            server.down(how)
        case ["up"]:
            server.up()
        case ["pause"]:
            server.pause()
        case ["resume"]:
            server.resume()
        case _:
            raise RuntimeError(f"there is no command {words}")


def serve(server, parent):
    """Until the input ends. The parent's children may keep it open longer than the parent lives."""
    pidfd = os.pidfd_open(parent)
    reader = os.fdopen(0, "rb", buffering=0)
    pending = b""
    while True:
        readable, _, _ = select.select([reader, pidfd], [], [])
        if pidfd in readable or not (got := reader.read(4096)):
            return
        pending += got
        while b"\n" in pending:
            line, pending = pending.split(b"\n", 1)
            try:
                obey(server, line.decode().split())
                print("ok", flush=True)
            except (RuntimeError, OSError) as error:
                print("error", " ".join(str(error).split()), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--max-connections", type=int, default=100)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--hba", action="append", default=[], metavar="LINE",
                        help="a line of pg_hba.conf, before those that let everybody in")
    parser.add_argument("--standby-of", type=int, metavar="PORT", help="a server of ours")
    arguments = parser.parse_args()
    parent = os.getppid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's is for the tests
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1)  # the server's orphans are ours to wait for
    binaries = find_binaries()
    if binaries is None:
        print("none no PostgreSQL server is installed (initdb and postgres in PATH, in "
              "/usr/lib/postgresql/*/bin or in $COMRADE_POSTGRES_BIN)", flush=True)
        return
    if arguments.standby_of and not os.access(binaries / "pg_basebackup", os.X_OK):
        print(f"none {binaries} has no pg_basebackup, which makes a standby", flush=True)
        return
    server = None
    try:
        shared = Shared(binaries, find_user())
        version = shared.run("postgres", "--version").split()[2]
        server = Server(shared, arguments)
        server.start()
        print("ready", server.port, server.folder, version, flush=True)
        serve(server, parent)
    except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
        print("error", " ".join(str(error).split()), flush=True)
    finally:
        if server is not None:
            server.remove()


if __name__ == "__main__":
    main()
