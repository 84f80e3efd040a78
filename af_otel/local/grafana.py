"""Grafana of the local facility, if this machine has one: data sources and dashboards."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from af_otel.grafana.provisioning import provisioned, settings
from af_otel.local import servers
from af_otel.local.ports import HOST

if TYPE_CHECKING:
    from collections.abc import Mapping

    from af_otel.backends.certificates import Certificates


@dataclass(frozen=True)
class Grafana:
    """A Grafana to start: its binary, and the home directory with its files."""

    binary: Path
    home: Path

    def command(
        self, directory: Path, urls: Mapping[str, str], certificates: Certificates
    ) -> tuple[str, ...]:
        """Write data sources and dashboards into `directory`, and return the command.

        `urls` are the addresses of the query APIs by kind: `prometheus`, and `tempo` or `jaeger`.
        """
        provision(directory, urls, certificates)
        server = ("server",) if self.binary.name == "grafana" else ()
        return (str(self.binary), *server, "--homepath", str(self.home))

    def env(self, directory: Path, port: int, login: Mapping[str, str]) -> dict[str, str]:
        """Return its settings: `login` is of its only user, and it makes no calls home."""
        return {
            # Not `data`, where earlier versions had a user with a password that everybody knows.
            "GF_PATHS_DATA": str(directory / "private"),
            "GF_PATHS_LOGS": str(directory / "logs"),
            "GF_SERVER_HTTP_ADDR": HOST,
            "GF_SERVER_HTTP_PORT": str(port),
            # Other names that lead here are sent away.
            "GF_SERVER_DOMAIN": HOST,
            "GF_SERVER_ENFORCE_DOMAIN": "true",
            # These count when its database is made.
            "GF_SECURITY_ADMIN_USER": login["user"],
            "GF_SECURITY_ADMIN_PASSWORD": login["password"],
            "GF_SECURITY_COOKIE_SAMESITE": "strict",
            # They would be open to everybody.
            "GF_METRICS_ENABLED": "false",
            **settings(str(directory)),
        }


def find() -> Grafana | None:
    """Return the Grafana of this machine, or None; a setting that names no Grafana is an error."""
    try:
        binary = servers.find("grafana").path.resolve()
    except servers.ServerNotFound:
        return None
    # In the archive, `bin/` is in the home directory; a Linux package separates them.
    homes = (binary.parents[1], Path("/usr/share/grafana"))
    home = next((home for home in homes if (home / "conf" / "defaults.ini").is_file()), None)
    return Grafana(binary, home) if home is not None else None


def provision(
    directory: Path, urls: Mapping[str, str], certificates: Certificates | None = None
) -> None:
    """Write data sources and dashboards into `directory`; for `urls`, see `Grafana.command`."""
    tls = {}
    if certificates is not None:
        tls = {
            "tlsCACert": certificates.authority.read_text(encoding="ascii"),
            "tlsClientCert": certificates.certificate.read_text(encoding="ascii"),
            "tlsClientKey": certificates.key.read_text(encoding="ascii"),
        }
    for name, content in provisioned(str(directory), urls, tls=tls).items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
