"""`cutwater serve`: the same application under uvicorn, on this machine.

The organisation `local` is made of the provider keys that the environment
holds; its own key is drawn once and kept in the data folder.
"""

import asyncio
import gc
import secrets
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from core.dialects import openai_chat
from core.errors import BadRequestError, CutwaterError, HeadersTooLargeError
from core.orgs import Endpoint, Key, Org
from core.routing import Provider
from handlers.app import MOST_HEADERS, App
from providers import catalog

LOCAL: Final = "local"
MOST_FRAME: Final = 16 * 1024 * 1024
"""Of a client's WebSocket; what is longer is closed with 1009."""
LARGE: Final = 64 * 1024
"""Bytes of an answer that is not copied for the sake of one system call."""
_OLLAMA_WAIT_S: Final = 0.2


class BoundedProtocol(HttpToolsProtocol):
    """Refuses a head that keeps growing: the parser itself would take any."""

    _in_head = False
    _head_bytes = 0

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # Counted afterwards: what comes in one piece with its head may be a body of any size.
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEADERS + 65536:
                self._refuse()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        self._in_head = False
        before = self.cycle
        super().on_headers_complete()
        if (cycle := self.cycle) is not before and self.scope["method"] != "HEAD":
            cycle.transport = _Joined(cycle, self.transport)

    def send_400_response(self, msg: str) -> None:
        """What the parser itself refuses; its words may quote the request."""
        del msg
        self._say(BadRequestError("This is no HTTP request that can be read."), b"400 Bad Request")

    def _refuse(self) -> None:
        error = HeadersTooLargeError(f"The headers exceed {MOST_HEADERS} bytes.")
        self._say(error, b"431 Request Header Fields Too Large")

    def _say(self, error: CutwaterError, status: bytes) -> None:
        body = openai_chat.error_body(error, "req_" + secrets.token_hex(12))
        self.transport.write(
            b"HTTP/1.1 " + status + b"\r\n"
            b"content-type: application/json\r\nconnection: close\r\n"
            b"content-length: %d\r\n\r\n%s" % (len(body), body)
        )
        self.transport.close()


class _Joined(asyncio.Transport):
    """The head of an answer leaves with its first bytes: one packet, one system call.

    The application says both in one go. HEAD has a head only, and goes without this.
    """

    def __init__(self, cycle: RequestResponseCycle, transport: asyncio.Transport) -> None:
        self._cycle = cycle
        self._transport = transport
        self._head = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._cycle.response_started:
            self._transport.write(data)  # 100 Continue.
        elif not self._head:
            self._head = bytes(data)
        else:
            self._cycle.transport = self._transport  # From now on nothing is held.
            if len(data) <= LARGE:
                data = b"".join((self._head, data))
            else:
                self._transport.write(self._head)  # To copy it would cost more than a call.
            self._transport.write(data)

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        if self._head:
            self._transport.write(self._head)
        self._transport.close()


def local_org(environment: Mapping[str, str], data: Path) -> Org:
    """The organisation of this machine: an endpoint for each provider key in the environment."""
    endpoints = own_endpoints(environment)
    return Org(name=LOCAL, keys=(Key(name=LOCAL, key=local_key(data)),), endpoints=endpoints)


def own_endpoints(environment: Mapping[str, str]) -> tuple[Endpoint, ...]:
    endpoints = [
        Endpoint(type=name, name=f"{name}-local", secret=secret)
        for name, provider in catalog.PROVIDERS.items()
        if (secret := _secret_of(provider, environment)) is not None
    ]
    if _reachable(catalog.configured(environment)["ollama"].base_url):
        endpoints.append(Endpoint(type="ollama", name="ollama-local"))
    return tuple(endpoints)


def _secret_of(provider: Provider, environment: Mapping[str, str]) -> str | None:
    names = (provider.key_variable, provider.other_key_variable)
    found = (environment.get(name or "", "").strip() for name in names)
    return next((secret for secret in found if secret), None)


def local_key(data: Path) -> str:
    """Drawn at the first start; the file is for its owner's eyes only."""
    file = data / "local.key"
    if file.exists() and (known := file.read_text().strip()):
        return known
    data.mkdir(parents=True, exist_ok=True)
    key = "cw_local_" + secrets.token_hex(16)
    file.touch(mode=0o600)
    file.write_text(key + "\n")
    return key


def _reachable(base_url: str) -> bool:
    try:
        url = urlsplit(base_url)
        address = (url.hostname or "", url.port or (443 if url.scheme == "https" else 80))
        with socket.create_connection(address, timeout=_OLLAMA_WAIT_S):
            return True
    except (OSError, ValueError):
        return False


def serve(app: App, host: str, port: int, drain_s: int = 30) -> None:
    """Until a signal ends it; requests under way have `drain_s` seconds then."""
    # What is loaded by now stays: the collector need not look at it at every request.
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 5, 5)
    config: dict[str, Any] = {
        "http": BoundedProtocol,
        "ws": "websockets-sansio",
        "ws_max_size": MOST_FRAME,
        "ws_ping_interval": 20.0,
        "ws_ping_timeout": 40.0,
        # Audio in base64 shrinks by a quarter at the price of a core.
        "ws_per_message_deflate": False,
        "lifespan": "on",
        "access_log": False,
        "log_level": "warning",
        "server_header": False,
        "date_header": False,
        "proxy_headers": False,
        "timeout_keep_alive": 75,
        "timeout_graceful_shutdown": drain_s,
    }
    uvicorn.Server(uvicorn.Config(app, host=host, port=port, **config)).run()
