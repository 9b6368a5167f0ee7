"""The Celery application. The database is the truth: every message here is a hint and may be lost or doubled."""

from __future__ import annotations

import datetime as dt
import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "connector.settings")

from celery import Celery, Task
from django.conf import settings


class HintTask(Task):  # type: ignore[type-arg]
    """Base of all tasks: a lost worker's task comes back soon."""

    default_retry_delay = 5


def broker_url(url: str) -> str:
    """Celery's spelling of a redis-py URL."""
    if not url.startswith("unix://"):
        return url
    path, _, query = url.removeprefix("unix://").partition("?")
    return f"redis+socket://{path}?{query.replace('db=', 'virtual_host=') or 'virtual_host=0'}"


def transport_options(role: str) -> dict[str, Any]:
    """Patient in a worker; in a web request a dead or frozen Redis may cost a second at most."""
    options: dict[str, Any] = {
        "visibility_timeout": 900,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "global_keyprefix": "mlc:",
        "socket_timeout": 10,
        "socket_connect_timeout": 2,
        "health_check_interval": 25,
    }
    if role not in ("worker", "beat"):
        options |= {"max_retries": 0, "interval_start": 0, "interval_step": 0, "interval_max": 0}
        options |= {"socket_timeout": 1, "socket_connect_timeout": 1}
    return options


def _every(seconds: float, task: str) -> dict[str, Any]:
    """A beat entry; a turn that no worker took before the next one is due is dropped."""
    seconds = max(1, round(seconds))
    return {
        "task": f"connector.tasks.{task}",
        "schedule": dt.timedelta(seconds=seconds),
        "options": {"expires": max(5, seconds)},
    }


app = Celery("connector", task_cls=HintTask)
app.conf.update(
    broker_url=broker_url(settings.REDIS_URL),
    result_backend=None,
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_retry_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    task_time_limit=300,
    task_soft_time_limit=270,
    task_serializer="json",
    accept_content=["json"],
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    worker_soft_shutdown_timeout=10,
    worker_enable_soft_shutdown_on_idle=True,
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
    worker_send_task_events=False,
    broker_transport_options=transport_options(settings.ROLE),
    beat_scheduler="django_celery_beat.schedulers:DatabaseScheduler",
    task_default_queue="inbound",
    task_routes={
        "connector.tasks.drain_mailbox": {"queue": "slack"},
        "connector.tasks.poll_connection": {"queue": "sync"},
        "connector.tasks.read_reports": {"queue": "sync"},
        "connector.tasks.write_feedback": {"queue": "sync"},
        "connector.tasks.fire_schedule": {"queue": "beat"},
        "connector.tasks.check_connection": {"queue": "sync"},
        "connector.tasks.prepare_mailbox": {"queue": "sync"},
        "connector.tasks.refresh_credential": {"queue": "sync"},
        "connector.tasks.confirm_subscription": {"queue": "sync"},
        "connector.tasks.tend_subscriptions": {"queue": "sync"},
        "connector.tasks.sweep_*": {"queue": "beat"},
    },
    timezone="UTC",
    beat_schedule={
        "sweep stalled rows": _every(settings.SWEEP_SECONDS, "sweep_stalled"),
        "sweep connections": _every(30, "sweep_connections"),
        "mark the audit chains": _every(86400, "sweep_audit"),
        "drop old payloads": _every(3600, "sweep_old"),
    },
)
if settings.ROLE != "beat":  # beat sends by name, and stays small without the pipeline
    app.autodiscover_tasks(["connector"])
