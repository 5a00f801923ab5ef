#!/usr/bin/python3
"""A service in Python that finds another through the view in PostgreSQL.

    comrade run --role web --port auto -- ./web.py

/        says hello
/others  greets every live worker, and tells what each said
"""
import http.server
import os
import urllib.request

import psycopg2

WORKERS = """
    SELECT id, metadata->>'ip', metadata->>'port' FROM comrade.live_members
    WHERE role = 'worker' AND namespace = '' ORDER BY id
"""


def find_workers():
    with psycopg2.connect(os.environ["DATABASE_URL"]) as connection:
        with connection.cursor() as cursor:
            cursor.execute(WORKERS)
            return cursor.fetchall()


def greet(ip, port):
    with urllib.request.urlopen(f"http://{ip}:{port}/", timeout=5) as response:
        return response.read().decode().strip()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/others":
            text = "".join(f"{id}: {greet(ip, port)}\n" for id, ip, port in find_workers())
        else:
            text = f"hello from web, process {os.getpid()}\n"
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


if __name__ == "__main__":
    address = ("", int(os.environ["PORT"]))
    http.server.ThreadingHTTPServer(address, Handler).serve_forever()
