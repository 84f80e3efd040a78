"""The certificate with which the parts of a local facility recognise each other."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from af_otel.errors import AfOtelError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Certificates:
    """An authority's certificate, and one that it signed with its key, as files in a directory.

    Every server and every client of a facility has the same one. Who can read the key is its owner.
    """

    directory: Path

    @property
    def authority(self) -> Path:
        """The certificate that peers have to be signed by."""
        return self.directory / "ca.pem"

    @property
    def certificate(self) -> Path:
        """The certificate of servers and clients."""
        return self.directory / "certificate.pem"

    @property
    def key(self) -> Path:
        """The private key of `certificate`."""
        return self.directory / "key.pem"

    @property
    def curl(self) -> Path:
        """The options with which `curl -K` uses them."""
        return self.directory / "curl"

    def client(self) -> ssl.SSLContext:
        """Return the settings of a client that trusts and shows nothing else.

        Raises
        ------
        AfOtelError
            The certificates or the key cannot be read.
        """
        try:
            context = ssl.create_default_context(cafile=self.authority)
            context.load_cert_chain(self.certificate, self.key)
        except OSError as error:  # ssl.SSLError is one
            raise AfOtelError(
                f"the facility's certificates cannot be read: {error}",
                where=f"`{self.directory}`",
                hint="`af-otel down` and `af-otel up` make new ones",
            ) from error
        return context
