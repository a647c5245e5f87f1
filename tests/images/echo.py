"""Stands in for Grafana: answers on its port and says what it was asked, headers and all."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


# ruff: noqa: N815, S104  names of http.server; a container listens on all addresses
class Echo(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(length)
        body = json.dumps({"method": self.command, "path": self.path, "headers": self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_DELETE = do_PATCH = do_GET

    def log_message(self, *_: object) -> None:
        pass


ThreadingHTTPServer(("0.0.0.0", 3000), Echo).serve_forever()
