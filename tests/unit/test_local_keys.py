"""The certificates of a local facility let its own programs in, and nobody else."""

from __future__ import annotations

import contextlib
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from af_otel.backends.http import Access, Api, NotReachable
from af_otel.errors import AfOtelError
from af_otel.local.keys import make_certificates


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def serving(certificates):
    """A server that wants a certificate of its clients, as those of a facility do."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificates.authority)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(certificates.certificate, certificates.key)
    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *args: None
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"https://127.0.0.1:{server.server_port}"
        server.shutdown()


def made(directory):
    directory.mkdir()
    return make_certificates(directory)


def ask(url, context):
    return Api("It", url, Access(tls=context)).get("/", read=lambda answer: answer)


def test_only_the_owner_can_read_the_key(tmp_path):
    """Also where a file of that name was there already, for everybody to read."""
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "key.pem").touch(mode=0o644)
    certificates = make_certificates(tmp_path / "keys")
    assert {path.stat().st_mode & 0o777 for path in certificates.directory.iterdir()} == {0o600}


def test_a_holder_is_served_and_others_are_not(tmp_path):
    """Neither with no certificate, nor with one of another facility."""
    mine, other = made(tmp_path / "mine"), made(tmp_path / "other")
    with serving(mine) as url:
        assert ask(url, mine.client()) == {}

        nobody = ssl.create_default_context(cafile=mine.authority)
        stranger = ssl.create_default_context(cafile=mine.authority)
        stranger.load_cert_chain(other.certificate, other.key)
        for context in (nobody, stranger):
            with pytest.raises(NotReachable):
                ask(url, context)


def test_another_server_on_the_port_is_not_believed(tmp_path):
    """Whoever takes the port of a server that has died learns nothing."""
    mine, other = made(tmp_path / "mine"), made(tmp_path / "other")
    with serving(other) as url, pytest.raises(NotReachable, match="does not answer"):
        ask(url, mine.client())


def test_missing_certificates_are_an_error_with_a_hint(tmp_path):
    certificates = made(tmp_path / "mine")
    certificates.key.unlink()
    with pytest.raises(AfOtelError, match="cannot be read") as caught:
        certificates.client()
    assert caught.value.where == f"`{certificates.directory}`"
    assert "af-otel up" in caught.value.hint
