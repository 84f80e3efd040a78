"""Where a dashboard is: its sources, which are its reader's to choose, and its addresses."""

from __future__ import annotations

from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as model

from af_otel.grafana.sources import uid

PROMETHEUS = model.DataSourceRef(type_val="prometheus", uid="${prometheus}")
TEMPO = model.DataSourceRef(type_val="tempo", uid="${tempo}")
TAG = "af-otel"
_COMMON = "${prometheus:queryparam}&${tempo:queryparam}&${facility:queryparam}"


@dataclass(frozen=True)
class Place:
    """The Grafana that a dashboard is made for.

    Parameters
    ----------
    facility
        Tells the dashboards of several facilities apart; empty where there is one.
    choose
        The data sources are not ours: the first of their kind is taken unless the reader chooses.
    """

    facility: str = ""
    choose: bool = False

    def uid(self, name: str) -> str:
        """A dashboard's own."""
        return uid(f"{TAG}-{name}", self.facility)

    def url(self, name: str, **variables: str) -> str:
        """A dashboard of ours, with the time and the variables of the one that leads there.

        With `variables` of its own it is given of the others those that all dashboards have.
        """
        kept = f"&{_COMMON}" if variables else "&${__all_variables}"
        more = "".join(f"&var-{key}={value}" for key, value in variables.items())
        return f"/d/{self.uid(name)}?${{__url_time_range}}{kept}{more}"

    def link(self, name: str, title: str) -> dashboard.DashboardLink:
        """The same, in a panel's corner."""
        return dashboard.DashboardLink(title).type(model.DashboardLinkType.LINK).url(self.url(name))
