"""Celery tasks: each loads nothing, decides nothing, and calls one function of the pipeline. All may run twice."""

from __future__ import annotations

from celery import shared_task

from connector.pipeline import (
    audit,
    connections,
    delivery,
    feedback,
    mapping,
    polling,
    reporting,
    resolve,
    routing,
    schedules,
    subscriptions,
    sweep,
)


@shared_task
def fetch_events(event_ids: list[str]) -> None:
    """received -> fetched: the vendor's full records."""
    resolve.fetch(event_ids)


@shared_task
def map_events(event_ids: list[str]) -> None:
    """fetched -> mapped: our neutral form."""
    mapping.map_events(event_ids)


@shared_task
def dedupe_events(event_ids: list[str]) -> None:
    """mapped -> routed: one delivery for each matching route that has not told this state yet."""
    routing.route_events(event_ids)


@shared_task
def drain_mailbox(mailbox_id: str, is_armed: bool = False) -> None:
    """Posts the next due delivery of a mailbox, if its pace allows."""
    delivery.drain(mailbox_id, is_armed=is_armed)


@shared_task
def prepare_mailbox(mailbox_id: str) -> None:
    delivery.prepare(mailbox_id)


@shared_task
def poll_connection(connection_id: str) -> None:
    polling.poll(connection_id)


@shared_task
def read_reports(connection_id: str) -> None:
    """Reads the reports of a connection that are due."""
    reporting.run(connection_id)


@shared_task
def fire_schedule(schedule_id: str) -> None:
    """The time of a report's schedule has come."""
    schedules.fire(schedule_id)


@shared_task
def write_feedback(connection_id: str) -> None:
    """Notes on a source's records what became of them."""
    feedback.write(connection_id)


@shared_task
def check_connection(connection_id: str) -> None:
    connections.recheck(connection_id)


@shared_task
def refresh_credential(credential_id: str) -> None:
    connections.renew(credential_id)


@shared_task
def confirm_subscription(subscription_id: str) -> None:
    """Has the vendor confirm the secrets that came with handshakes."""
    subscriptions.confirm(subscription_id)


@shared_task
def tend_subscriptions(connection_id: str) -> None:
    """Registers, repairs and removes the connection's callbacks."""
    subscriptions.tend(connection_id)


@shared_task
def sweep_stalled() -> None:
    """Finds what stopped moving. Runs every SWEEP_SECONDS."""
    sweep.stalled()


@shared_task
def sweep_connections() -> None:
    """Token refresh, gap fill and re-checks that are due."""
    sweep.connections()


@shared_task
def sweep_audit() -> None:
    """Marks the ends of the audit chains outside the database, once a day."""
    audit.mark()


@shared_task
def sweep_old() -> None:
    """Drops payloads past their retention."""
    sweep.old()
