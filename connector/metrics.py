"""Prometheus metrics, computed from the database when asked; names start with `connector_`."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Sum
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from connector.models import ConnectionState, VendorCalls
from connector.pipeline import hints, status

CONTENT_TYPE = CONTENT_TYPE_LATEST


class _Database(Collector):
    def collect(self) -> Iterator[Metric]:
        counts = status.counts()
        for name in ("events", "deliveries"):
            gauge = GaugeMetricFamily(f"connector_{name}", f"{name} by state", labels=["state"])
            for state, count in counts[name].items():
                gauge.add_metric([state], count)
            yield gauge
        yield from self._mailboxes()
        yield self._connections()
        calls = CounterMetricFamily("connector_vendor_calls", "calls to vendors", labels=["connection", "outcome"])
        rows = VendorCalls.objects.order_by().values_list("connection__slug", "outcome").annotate(Sum("count"))
        for slug, outcome, count in rows:
            calls.add_metric([slug, outcome], count)
        yield calls
        yield CounterMetricFamily("connector_hints_lost", "hints that Redis did not take", value=hints.lost)

    def _mailboxes(self) -> Iterator[Metric]:
        labels = ["connection", "target"]
        backlog = GaugeMetricFamily("connector_mailbox_backlog", "deliveries not yet out", labels=labels)
        oldest = GaugeMetricFamily("connector_mailbox_oldest_seconds", "age of the oldest of them", labels=labels)
        for box in status.mailboxes():
            backlog.add_metric([box["connection"], box["target"]], box["waiting"])
            oldest.add_metric([box["connection"], box["target"]], box["oldest_seconds"])
        yield backlog
        yield oldest

    def _connections(self) -> Metric:
        gauge = GaugeMetricFamily(
            "connector_connection_state", "1 for the state that holds", labels=["connection", "system", "state"]
        )
        for row in status.connections():
            for state in ConnectionState.values:
                gauge.add_metric([row["slug"], row["system"], state], float(row["state"] == state))
        return gauge


def render() -> bytes:
    """The page."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Database())
    return generate_latest(registry)
