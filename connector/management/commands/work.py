"""`manage.py work`: one Celery worker.

Celery's own command line loads all of its subcommands first, an interactive shell among them: 10 MiB in each process.
"""

from __future__ import annotations

import sys
from typing import Any

from celery.utils.nodenames import default_nodename, host_format
from django.core.management import BaseCommand, CommandParser

from connector.celery import app


class Command(BaseCommand):
    help = "Works on the messages of these queues, in threads, until it is told to stop."
    # They load every page of the admin, which no worker needs; `up` has made them.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--queues", default="slack,inbound,sync,beat", help="separated by commas (%(default)s)")
        parser.add_argument("--threads", type=int, default=16, help="so many tasks at a time (%(default)s)")
        parser.add_argument("--hostname", default="work@%h", help="its name among the workers")

    def handle(self, *args: Any, **options: Any) -> None:
        worker = app.Worker(
            hostname=host_format(default_nodename(options["hostname"])),
            queues=options["queues"].split(","),
            pool_cls="threads",
            concurrency=options["threads"],
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
            quiet=True,
        )
        worker.start()
        sys.exit(worker.exitcode)
