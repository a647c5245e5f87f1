"""The few kinds of panel that the dashboards use, as Grafana's JSON.

Written out and not built with grafana-foundation-sdk: that package calls itself alpha, and knows no PostgreSQL query.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["timeseries", "bars", "stat", "table", "state-timeline"]
PROMETHEUS = {"type": "prometheus", "uid": "prometheus"}
FACTS = {"type": "grafana-postgresql-datasource", "uid": "facts"}


@dataclass(frozen=True)
class Query:
    """One query; `sql` gives columns time, metric and value, or a table, a Prometheus `expr` series or one instant."""

    text: str
    source: Literal["prometheus", "facts"]
    legend: str = ""
    table: bool = False

    def to_json(self, place: int) -> dict[str, Any]:
        """As Grafana's datasources want it."""
        ref_id = chr(ord("A") + place)
        if self.source == "facts":
            shape = "table" if self.table else "time_series"
            query = {"rawSql": self.text, "rawQuery": True, "editorMode": "code", "format": shape}
            return {"refId": ref_id, "datasource": FACTS, **query}
        shape = (
            {"instant": True, "range": False, "format": "table"} if self.table else {"instant": False, "range": True}
        )
        legend = {"legendFormat": self.legend or "__auto", "editorMode": "code"}
        return {"refId": ref_id, "datasource": PROMETHEUS, "expr": self.text, **shape, **legend}


def prom(expr: str, legend: str = "", *, table: bool = False) -> Query:
    """A query in PromQL."""
    return Query(" ".join(expr.split()), "prometheus", legend, table)


def sql(text: str, *, table: bool = False) -> Query:
    """A query of the facts: time, metric, value; or a table."""
    return Query(" ".join(text.split()), "facts", table=table)


@dataclass(frozen=True)
class Panel:
    """`about` says what is shown, over what it was measured and what to think of it; `unit` is Grafana's name of it.

    bands: names whose series `<name> low` and `<name> high` are drawn as a band around `<name>`
    units: units of single columns or series, by name
    since: a time range of its own, where the dashboard's shows nothing of it
    """

    title: str
    about: str
    queries: Sequence[Query]
    unit: str = "short"
    kind: Kind = "timeseries"
    width: int = 12
    height: int = 8
    stacked: bool = False
    least: float | None = None
    most: float | None = None
    decimals: int | None = None
    bands: Sequence[str] = ()
    units: Mapping[str, str] = field(default_factory=dict)
    since: str = ""

    def to_json(self, number: int, x: int, y: int) -> dict[str, Any]:
        """The panel at its place in the grid."""
        limits = {"min": self.least, "max": self.most, "decimals": self.decimals}
        defaults = {
            "unit": self.unit,
            "color": {"mode": "palette-classic"},
            "custom": self._custom(),
            **{name: value for name, value in limits.items() if value is not None},
        }
        return {
            "id": number,
            "type": "timeseries" if self.kind == "bars" else self.kind,
            "title": self.title,
            "description": self.about,
            "datasource": PROMETHEUS if self.queries[0].source == "prometheus" else FACTS,
            "gridPos": {"h": self.height, "w": self.width, "x": x, "y": y},
            "fieldConfig": {"defaults": defaults, "overrides": self._overrides()},
            "options": self._options(),
            "targets": [query.to_json(place) for place, query in enumerate(self.queries)],
            **({"timeFrom": self.since} if self.since else {}),
        }

    def _custom(self) -> dict[str, Any]:
        if self.kind == "timeseries":
            stack = {"stacking": {"mode": "normal", "group": "A"}, "fillOpacity": 30} if self.stacked else {}
            return {
                "drawStyle": "line",
                "lineWidth": 2,
                "fillOpacity": 0,
                "showPoints": "auto",
                "spanNulls": True,
            } | stack
        if self.kind == "bars":
            mode = "normal" if self.stacked else "none"
            return {"drawStyle": "bars", "fillOpacity": 70, "stacking": {"mode": mode, "group": "A"}}
        return {"fillOpacity": 70} if self.kind == "state-timeline" else {}

    def _options(self) -> dict[str, Any]:
        if self.kind == "stat":
            reduce = {"calcs": ["lastNotNull"], "fields": "", "values": False}
            return {"reduceOptions": reduce, "colorMode": "value", "textMode": "auto"}
        if self.kind == "table":
            return {"showHeader": True, "cellHeight": "sm"}
        if self.kind == "state-timeline":
            return {"showValue": "auto", "mergeValues": True, "legend": {"showLegend": False}}
        legend = {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["lastNotNull", "max"]}
        return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}

    def _overrides(self) -> list[dict[str, Any]]:
        found = [_override(name, {"unit": unit}) for name, unit in self.units.items()]
        for name in self.bands:
            thin = {"custom.lineWidth": 0, "custom.hideFrom": {"legend": True, "tooltip": False, "viz": False}}
            found.append(_override(f"{name} low", thin))
            found.append(_override(f"{name} high", {**thin, "custom.fillBelowTo": f"{name} low"}))
        return found


def _override(name: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "matcher": {"id": "byName", "options": name},
        "properties": [{"id": key, "value": value} for key, value in properties.items()],
    }


@dataclass(frozen=True)
class Dashboard:
    """Rows of panels, each row as wide as 24."""

    uid: str
    title: str
    about: str
    rows: Sequence[tuple[str, Sequence[Panel]]]
    since: str = "now-6h"
    refresh: str = "30s"
    apps: bool = False

    def to_json(self) -> dict[str, Any]:
        """The whole dashboard."""
        panels: list[dict[str, Any]] = []
        y = 0
        for title, row in self.rows:
            place = {"h": 1, "w": 24, "x": 0, "y": y}
            panels.append({"id": len(panels) + 1, "type": "row", "title": title, "gridPos": place, "panels": []})
            x, y, tall = 0, y + 1, 0
            for panel in row:
                if x + panel.width > 24:
                    x, y, tall = 0, y + tall, 0
                panels.append(panel.to_json(len(panels) + 1, x, y))
                x, tall = x + panel.width, max(tall, panel.height)
            y += tall
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.about,
            "tags": ["mlops-assets"],
            "schemaVersion": 39,
            "editable": False,
            "graphTooltip": 1,
            "timezone": "utc",
            "time": {"from": self.since, "to": "now"},
            "refresh": self.refresh,
            "links": [_links()],
            "templating": {"list": [_apps()] if self.apps else []},
            "annotations": {"list": [_deployments()]},
            "panels": panels,
        }


def _apps() -> dict[str, Any]:
    query = "SELECT DISTINCT app_id FROM facts.volumes ORDER BY 1"
    return {
        "name": "app",
        "label": "App",
        "type": "query",
        "datasource": FACTS,
        "query": query,
        "definition": query,
        "multi": True,
        "includeAll": True,
        "current": {"text": ["All"], "value": ["$__all"]},
        "refresh": 2,
        "sort": 1,
    }


def _deployments() -> dict[str, Any]:
    """A mark on every graph where another model went live."""
    query = (
        "SELECT at AS time, 'model ' || model_version || ' live' AS text FROM facts.served "
        "WHERE $__timeFilter(at) ORDER BY at"
    )
    target = {"refId": "A", "datasource": FACTS, "rawSql": query, "rawQuery": True, "format": "table"}
    return {"name": "Deployments", "datasource": FACTS, "enable": True, "iconColor": "blue", "target": target}


def _links() -> dict[str, Any]:
    return {
        "title": "mlops-assets",
        "type": "dashboards",
        "tags": ["mlops-assets"],
        "asDropdown": False,
        "keepTime": False,
    }
