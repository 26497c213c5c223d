"""Toy wheels, and a small index on this machine that can be slow, broken or wrong."""

import hashlib
import http.server
import io
import threading
import zipfile
from urllib.parse import unquote

from llmlab.data.entries import Catalog, Entry, WebFile, Wheel

WHEEL_NAME = "llmlab_toy-1.0-py3-none-any.whl"
MEMBERS = {"llmlab_toy/grüße.txt": "Grüße aus dem Rad\n".encode(), "llmlab_toy/x.bin": b"\x00x" * 9}


def wheel_bytes(members: dict[str, bytes] = MEMBERS) -> bytes:
    info = "llmlab_toy-1.0.dist-info"
    files = dict(members)
    files[f"{info}/METADATA"] = b"Metadata-Version: 2.1\nName: llmlab-toy\nVersion: 1.0\n"
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in files).encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return packed.getvalue()


WHEEL = wheel_bytes()


def wheel_entry(content: bytes = WHEEL, name: str = "toy", **changes) -> Entry:
    sha256 = hashlib.sha256(content).hexdigest()
    wheel = Wheel(
        requirement="llmlab-toy==1.0", filename=WHEEL_NAME, size=len(content), sha256=sha256
    )
    told = dict.fromkeys(("title", "what", "licence", "attribution", "source"), "toy")
    return Entry(name=name, wheel=wheel, members=tuple(MEMBERS), **(told | changes))


def web_entry(address: str, contents: dict[str, bytes], name: str = "web-toy") -> Entry:
    files = tuple(
        WebFile(
            url=f"{address}/{file}",
            filename=file,
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
        )
        for file, content in contents.items()
    )
    told = dict.fromkeys(("title", "what", "licence", "attribution", "source"), "toy")
    return Entry(name=name, web_files=files, **told)


def use(monkeypatch, *entries: Entry) -> None:
    monkeypatch.setattr("llmlab.data.sources._CATALOG", Catalog(entries))


class Server:
    """Serves `files` by path. `held` paths stop half-way until `release` is set."""

    def __init__(self):
        self.files: dict[str, bytes] = {}
        self.lengths: dict[str, int] = {}  # a Content-Length that is not the true one
        self.later: dict[str, bytes] = {}  # what a path holds from its second request on
        self.held: set[str] = set()
        self.asked: list[str] = []
        self.half_way, self.release = threading.Event(), threading.Event()
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                server.answer(self, unquote(self.path))

            def log_message(self, *args):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.http.server_port}"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def offer_wheel(self, content: bytes = WHEEL) -> str:
        page = f'<!DOCTYPE html><html><body><a href="/{WHEEL_NAME}">{WHEEL_NAME}</a></body></html>'
        self.files["/simple/llmlab-toy/"] = page.encode()
        self.files["/" + WHEEL_NAME] = content
        return self.address + "/simple"

    def answer(self, handler, path: str) -> None:
        content = self.files.get(path)
        if path in self.later and path in self.asked:
            content = self.later[path]
        self.asked.append(path)
        if content is None:
            handler.send_error(404)
            return
        handler.send_response(200)
        kind = "text/html" if path.endswith("/") else "application/octet-stream"
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(self.lengths.get(path, len(content))))
        handler.end_headers()
        try:
            half = len(content) // 2
            handler.wfile.write(content[:half])
            handler.wfile.flush()
            if path in self.held:
                self.half_way.set()
                self.release.wait(60)
            handler.wfile.write(content[half:])
        except OSError:  # the one who asked was killed
            pass

    def close(self) -> None:
        self.release.set()
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()
