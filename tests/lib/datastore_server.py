#!/usr/bin/python3
"""A server that speaks the REST v1 of Google Cloud Datastore, in memory, on a free loopback port.

It prints `ready PORT`, and then obeys lines from its standard input, answering each with `ok`, with
`ok JSON`, or with `error WHY`; POST /control takes the same lines, and answers JSON. It ends when
its input ends, or its parent does.

    fault METHOD|* COUNT KIND [ARGUMENT …]   see datastore_faults.py
    faults clear
    freeze, thaw              answer nothing until then
    cut                       cut all connections
    clock MS                  how far its clock is ahead of the machine's
    set NAME VALUE            a setting of datastore_api.py
    index KIND [ancestor] EQUAL … SORTED[:desc] …    there is that composite index
    wipe [project=P] [database=D] [namespace=N] [kind=K]
    tokens on|off             whether requests need an access token: see datastore_auth.py
    tokens life SECONDS       of those given from now on
    tokens revoke             all that were given
    counts [reset]            calls by method; reads, small (keys only), writes, deletes as billed
    record on|off             whether requests are kept; on forgets those before
    requests                  the latest ones: [{method, project, headers, body}]

"""
import argparse
import collections
import json
import os
import pathlib
import random
import re
import select
import signal
import socket
import ssl
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from datastore_api import Api  # noqa: E402
from datastore_auth import METADATA, Auth  # noqa: E402
from datastore_faults import Cut, Faults  # noqa: E402
from datastore_values import Refusal, invalid  # noqa: E402

HEAD_BYTES, BODY_BYTES = 64 << 10, 10 << 20
PATH = re.compile(r"/v1/projects/([^/:]+):(\w+)(?:\?.*)?")
REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
           409: "Conflict", 413: "Payload Too Large", 429: "Too Many Requests",
           500: "Internal Server Error", 501: "Not Implemented", 503: "Service Unavailable",
           504: "Gateway Timeout"}


class Connection:
    """One connection: requests in, answers out, in a thread of its own."""

    def __init__(self, server, stream):
        self.server, self.stream = server, stream
        self.pending = b""

    def serve(self):
        try:
            if self.server.tls is not None:
                self.stream = self.server.tls.wrap_socket(self.stream, server_side=True)
            while (head := self.read_head()) is not None:
                verb, path, headers = head
                body = self.read_body(headers)
                code, answer = self.server.answer(verb, path, headers, body, self)
                self.send(code, answer)
                if headers.get("connection", "").lower() == "close":
                    break
        except (Cut, OSError, ValueError):
            pass
        finally:
            self.server.connections.discard(self)
            self.close()

    def close(self):
        try:
            self.stream.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.stream.close()

    def receive(self):
        got = self.stream.recv(1 << 18)
        if not got:
            raise Cut()
        self.pending += got

    def read_head(self):
        while (end := self.pending.find(b"\r\n\r\n")) < 0:
            if len(self.pending) > HEAD_BYTES:
                raise Cut()
            self.receive()
        first, *lines = self.pending[:end].decode("latin-1").split("\r\n")
        self.pending = self.pending[end + 4:]
        verb, path, _ = first.split(" ")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return verb, path, headers

    def read_body(self, headers):
        if headers.get("expect", "").lower() == "100-continue":
            self.stream.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return self.read_chunks()
        return self.take(int(headers.get("content-length", 0)))

    def take(self, length):
        parts, have = [self.pending], len(self.pending)
        while have < length:
            got = self.stream.recv(1 << 18)
            if not got:
                raise Cut()
            parts.append(got)
            have += len(got)
        whole = b"".join(parts)
        self.pending = whole[length:]
        return whole[:length]

    def read_chunks(self):
        parts = []
        while True:
            while b"\r\n" not in self.pending:
                self.receive()
            line, self.pending = self.pending.split(b"\r\n", 1)
            length = int(line.split(b";")[0], 16)
            parts.append(self.take(length + 2)[:-2])
            if length == 0:
                return b"".join(parts)

    def send(self, code, answer):
        self.stream.sendall(self.written(code, answer))

    def send_half(self, code, answer):
        data = self.written(code, answer)
        self.stream.sendall(data[:(data.index(b"\r\n\r\n") + 4 + len(data)) // 2])
        raise Cut()

    def written(self, code, answer):
        is_text = isinstance(answer, str)
        body = (answer if is_text else json.dumps(answer, ensure_ascii=False,
                                                  separators=(",", ":"))).encode()
        date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(self.server.clock() / 1e6))
        return (f"HTTP/1.1 {code} {REASONS.get(code, 'Error')}\r\nDate: {date}\r\n"
                f"Content-Type: {'text/plain' if is_text else 'application/json'}; charset=UTF-8"
                "\r\n"
                "Metadata-Flavor: Google\r\n"
                f"Content-Length: {len(body)}\r\n\r\n").encode() + body


class Server:
    def __init__(self, arguments):
        self.clock_ahead = 0
        self.api = Api(arguments.database, arguments.project, self.clock, arguments.seed)
        self.auth = Auth(dict(pair.split(":", 1) for pair in arguments.account),
                         arguments.refresh_token, (arguments.project or ["judged"])[0], self.clock)
        self.faults = Faults()
        self.connections = set()
        self.tls = None
        if arguments.certificate:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(arguments.certificate, arguments.key)
        self.listener = socket.create_server(("127.0.0.1", arguments.port), backlog=512)
        self.port = self.listener.getsockname()[1]
        for setting in arguments.set:
            self.obey(["set", *setting.split("=", 1)])

    def clock(self):
        return time.time_ns() // 1000 + self.clock_ahead

    def accept(self):
        while True:
            stream, _ = self.listener.accept()
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(self, stream)
            self.connections.add(connection)
            threading.Thread(target=connection.serve, daemon=True).start()

    # --- Requests ---------------------------------------------------------------------------------

    def answer(self, verb, path, headers, body, connection):
        if path == "/control":
            try:
                return 200, [self.obey(line.split()) for line in body.decode().splitlines()]
            except (ValueError, TypeError, KeyError, IndexError) as error:
                return 400, {"error": {"code": 400, "message": str(error)}}
        self.faults.thawed.wait()
        if (verb, path) == ("POST", "/token") or path.startswith(METADATA):
            self.faults.counts[what := "token" if verb == "POST" else "metadata"] += 1
            return self.auth.token(body) if what == "token" else self.auth.metadata(path, headers)
        found = PATH.fullmatch(path)
        if verb != "POST" or found is None or found[2] not in self.api.methods:
            return 404, {"error": {"code": 404, "message": f"{verb} {path} was not found",
                                   "status": "NOT_FOUND"}}
        return self.call(found[2], found[1], headers, body, connection)

    def call(self, method, project, headers, body, connection):
        self.faults.record(method, project, headers, body)
        fault, arguments = self.faults.take(method)
        is_before = fault in ("cut_before", "silence") or (
            fault == "status" and "after" not in arguments)
        if not is_before:
            code, answer = self.perform(method, project, headers, body)
        match fault:
            case "status":
                refusal = self.faults.refusal(arguments[0], project, arguments[1:])
                return refusal.code, refusal.json()
            case "delay":
                time.sleep(float(arguments[0]))
            case "half":
                connection.send_half(code, answer)
            case "cut_before" | "cut_after":
                raise Cut()
            case "silence":
                while True:
                    connection.receive()
                    connection.pending = b""
        return code, answer

    def perform(self, method, project, headers, body):
        bill = collections.Counter()
        try:
            if len(body) > BODY_BYTES:
                raise invalid("Request payload size exceeds the limit: 10485760 bytes.")
            self.auth.check(headers)
            try:
                request = json.loads(body or b"{}")
            except ValueError as error:
                raise invalid(f"Invalid JSON payload received. {error}") from None
            return 200, self.api.call(method, project, request, headers, bill)
        except Refusal as refusal:
            return refusal.code, refusal.json()
        except Exception as error:  # a fault of ours, or a request of a form we did not think of
            print(f"datastore_server: {method}: {error!r}", file=sys.stderr, flush=True)
            return 500, Refusal("INTERNAL", f"{error!r}").json()
        finally:
            self.faults.bill(bill)

    # --- Control ----------------------------------------------------------------------------------

    def obey(self, words):
        faults = self.faults
        match words:
            case ["fault", method, count, kind, *arguments]:
                faults.plan(method, count, kind, *arguments)
            case ["faults", "clear"]:
                faults.planned.clear()
            case ["freeze"]:
                faults.thawed.clear()
            case ["thaw"]:
                faults.thawed.set()
            case ["cut"]:
                for connection in list(self.connections):
                    connection.close()
            case ["clock", ms]:
                self.clock_ahead = int(float(ms) * 1000)
            case ["set", name, value]:
                self.set(name, value)
            case ["index", *line]:
                self.api.settings["indexes"].add(" ".join(line))
            case ["wipe", *pairs]:
                self.api.wipe(**dict(pair.split("=", 1) for pair in pairs))
            case ["tokens", ("on" | "off") as word]:
                self.auth.is_demanded = word == "on"
            case ["tokens", "life", seconds]:
                self.auth.life_s = int(seconds)
            case ["tokens", "revoke"]:
                self.auth.revoke()
            case ["counts", *rest]:
                counts = dict(faults.counts)
                if rest == ["reset"]:
                    faults.counts.clear()
                return counts
            case ["record", ("on" | "off") as word]:
                faults.is_recording = word == "on"
                if faults.is_recording:
                    faults.requests.clear()
                    faults.recorded_bytes = 0
            case ["requests"]:
                return [{"method": method, "project": project, "headers": headers,
                         "body": json.loads(text)}
                        for method, project, headers, text in list(faults.requests)]
            case _:
                raise ValueError(f"there is no command {' '.join(words)}")
        return None

    def set(self, name, value):
        settings = self.api.settings
        if name not in settings or name == "indexes":
            raise ValueError(f"there is no setting {name}")
        if isinstance(settings[name], bool):
            settings[name] = {"true": True, "false": False}[value]
        else:
            settings[name] = type(settings[name])(value)


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
                said = server.obey(line.decode().split())
                print("ok" if said is None else f"ok {json.dumps(said)}", flush=True)
            except (ValueError, TypeError, KeyError, IndexError) as error:
                print("error", " ".join(str(error).split()), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0, help="where one was that has been killed")
    parser.add_argument("--database", action="append", default=[], metavar="NAME",
                        help="a database that exists beside the default one")
    parser.add_argument("--project", action="append", default=[], metavar="ID",
                        help="a project that exists; without this option all do")
    parser.add_argument("--account", action="append", default=[], metavar="EMAIL:FILE",
                        help="a service account and its public key (PEM)")
    parser.add_argument("--refresh-token", action="append", default=[], metavar="TOKEN")
    parser.add_argument("--certificate", metavar="FILE", help="speak TLS, with that certificate")
    parser.add_argument("--key", metavar="FILE", help="its private key")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    arguments = parser.parse_args()
    parent = os.getppid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's is for the tests
    sys.setswitchinterval(0.0005)
    server = Server(arguments)
    threading.Thread(target=server.accept, daemon=True).start()
    print("ready", server.port, flush=True)
    serve(server, parent)
    os._exit(0)


if __name__ == "__main__":
    main()
