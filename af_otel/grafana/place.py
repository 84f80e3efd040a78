"""The Grafana that a dashboard is made for: its data sources and the addresses of dashboards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as model

from af_otel.grafana.sources import uid

if TYPE_CHECKING:
    from af_otel.grafana.sources import TraceStore

PROMETHEUS = model.DataSourceRef(type_val="prometheus", uid="${prometheus}")
TAG = "af-otel"


@dataclass(frozen=True)
class Place:
    """The Grafana that a dashboard is made for.

    Parameters
    ----------
    facility
        Distinguishes the dashboards of several facilities; empty where there is only one.
    choose
        The data sources are not ours: the first of each kind is used until the reader picks one.
    traces
        The trace store that panels search; None leaves these panels out.
    """

    facility: str = ""
    choose: bool = False
    traces: TraceStore | None = "tempo"

    @property
    def sources(self) -> tuple[str, ...]:
        """The kinds of data sources, which are also the names of their variables."""
        return ("prometheus", self.traces) if self.traces else ("prometheus",)

    @property
    def traces_source(self) -> model.DataSourceRef:
        """The trace store as a panel's data source."""
        return model.DataSourceRef(type_val=self.traces, uid=f"${{{self.traces}}}")

    def uid(self, name: str) -> str:
        """Return the uid of a dashboard."""
        return uid(f"{TAG}-{name}", self.facility)

    def url(self, name: str, **variables: str) -> str:
        """Return the address of a dashboard, with the time range and variables of the current one.

        With `variables`, only the variables that all dashboards share are carried over.
        """
        shared = "".join(f"&${{{each}:queryparam}}" for each in (*self.sources, "facility"))
        carried = shared if variables else "&${__all_variables}"
        more = "".join(f"&var-{key}={value}" for key, value in variables.items())
        return f"/d/{self.uid(name)}?${{__url_time_range}}{carried}{more}"

    def link(self, name: str, title: str) -> dashboard.DashboardLink:
        """Return a link to a dashboard for a panel's corner."""
        return dashboard.DashboardLink(title).type(model.DashboardLinkType.LINK).url(self.url(name))
