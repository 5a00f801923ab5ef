"""What answers is not Datastore: a proxy's page, a portal's, somebody's JSON; or it wants a token."""
import http.server
import threading

import pytest

from conftest import Comrade, DatastoreServer

DONE, UNAVAILABLE = 0, 5
PAGE = b"<!DOCTYPE html><html><body><h1>Please accept our terms</h1></body></html>"
VERBS = (["list"], ["show", "a"], ["store", "check"], ["kill", "a"])


class Answers(http.server.BaseHTTPRequestHandler):
    """The same to everything."""

    protocol_version = "HTTP/1.1"
    answer = (200, PAGE, {})

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(self.answer[0])
        self.send_header("Content-Length", str(len(self.answer[1])))
        for name, value in self.answer[2].items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.answer[1])

    def log_message(self, *_):
        pass


@pytest.fixture
def answering(tmp_path):
    """answering(STATUS, BODY, HEADERS): the program, on a server that answers that."""
    servers = []

    def start(status, body, **headers):
        handler = type("Handler", (Answers,), {"answer": (status, body, headers)})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
        servers.append(server)
        return Comrade(f"datastore://judged?endpoint=http://127.0.0.1:{server.server_port}",
                       tmp_path)

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("status, body, headers", [
    (200, PAGE, {}), (200, b"{}", {}), (200, b"[]", {}), (200, b"", {}),
    (302, b"", {"Location": "/again"}), (403, PAGE, {}), (502, PAGE, {}),
    (500, b'{"error": "no object"}', {}),
])
def test_what_is_no_answer_of_datastore_is_no_empty_list(answering, status, body, headers):
    comrade = answering(status, body, **headers)
    for verb in VERBS:
        done = comrade(*verb, check=UNAVAILABLE)
        assert f"the server said {status}" in done.stderr, verb
        assert "this is not how Datastore answers" in done.stderr and "proxy" in done.stderr
        assert done.stdout == "" and "html" not in done.stderr.lower()


def test_a_server_that_wants_a_token_is_no_emulator(comrade_on_datastore):
    server = DatastoreServer()
    try:
        server.order("tokens on")
        comrade_on_datastore.environment["DATASTORE_EMULATOR_HOST"] = server.host
        said = comrade_on_datastore("list", check=UNAVAILABLE).stderr
        assert "DATASTORE_EMULATOR_HOST is set" in said and "credentials=FILE" in said
        assert "key may have been deleted" not in said
    finally:
        server.close()
