"""A page of another origin streams a chat with a temporary credential, in a real browser.

The page tells what it saw to the server that it came from.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any, Final

import msgspec
import openai
import pytest

from tests import processes

pytestmark = pytest.mark.timeout(90)

NAMES: Final = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
PAGE: Final = """<!doctype html><script>
const tell = (seen) => fetch("/seen", {method: "POST", body: JSON.stringify(seen)});
async function ask(key, path, body) {
  try {
    const answer = await fetch(URL_ + path, {
      method: "POST",
      headers: {authorization: "Bearer " + key, "content-type": "application/json",
                "x-bt-use-cache": "always"},
      body: JSON.stringify(body),
    });
    const chunks = [];
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let read = await reader.read(); !read.done; read = await reader.read())
      chunks.push(read.value);
    return {status: answer.status, cached: answer.headers.get("x-bt-cached"), chunks};
  } catch (error) { return {refused: String(error)}; }
}
const chat = {model: "demo-echo", stream: true,
              messages: [{role: "user", content: "Hello from a page"}]};
(async () => {
  const path = "/v1/chat/completions";
  await tell([
    await ask(LENT, path, chat), await ask(LENT, path, chat), await ask(LONG_LIVED, path, chat),
    await ask(LENT, path, {...chat, model: "demo-tools"}), await ask("cw_unknown", path, chat),
  ]);
})();
</script>"""


def browser() -> str:
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        why = "no Chromium here: apt-get install chromium-headless-shell"
        if os.environ.get("CUTWATER_REQUIRE_BROWSER"):
            pytest.fail(why)
        pytest.skip(why)
    return found


class Site(ThreadingHTTPServer):
    """Serves one page, and hears what it saw."""

    daemon_threads = True

    def __init__(self, page: str) -> None:
        super().__init__((processes.HOST, 0), _Visit)
        self.page = page.encode()
        self.seen: Queue[Any] = Queue()


class _Visit(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        self._answer(self.server.page)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.seen.put(msgspec.json.decode(body))
        self._answer(b"")

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing is printed."""


@contextmanager
def visited(program: str, page: str, folder: Path) -> Iterator[Site]:
    site = Site(page)
    Thread(target=site.serve_forever, daemon=True).start()
    command = [
        program,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        f"--user-data-dir={folder / 'profile'}",
        "--remote-debugging-port=0",
        f"http://localhost:{site.server_port}/",
    ]
    with (folder / "browser.log").open("wb") as log:
        # Debian's `chromium` is a script that starts the browser: the group ends, not the script.
        running = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            yield site
        finally:
            os.killpg(running.pid, signal.SIGTERM)
            running.wait(timeout=10)
            site.shutdown()
            site.server_close()


def test_a_page_streams_with_a_credential_and_reads_nothing_with_a_key(tmp_path: Path) -> None:
    program = browser()
    key = "cw_page_0123456789abcdef"
    org = {"name": "acme", "keys": [{"name": "ci", "key": key}], "endpoints": []}
    with processes.cutwater(tmp_path, [org]) as server:
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0) as client:
            lent = client.post("/credentials", body={"model": "demo-echo"}, cast_to=dict[str, str])
        said = {"URL_": server.url, "LENT": lent["key"], "LONG_LIVED": key}
        constants = "".join(f"const {name} = {value!r};" for name, value in said.items())
        page = PAGE.replace("<script>", f"<script>{constants}")
        with visited(program, page, tmp_path) as site:
            first, second, long_lived, other_model, unknown = site.seen.get(timeout=60)
    assert (first["status"], first["cached"], second["cached"]) == (200, "MISS", "HIT")
    words = "".join(first["chunks"])
    assert words.endswith("data: [DONE]\n\n")
    assert len(first["chunks"]) > 1, "It came in one piece: nothing was streamed."
    assert "".join(second["chunks"]) == words
    assert "refused" in long_lived
    assert (other_model["status"], unknown["status"]) == (403, 401)
