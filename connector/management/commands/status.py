"""`manage.py status`"""

from __future__ import annotations

from typing import Any

from connector.management.commands import _command
from connector.pipeline import status


class Command(_command.Command):
    help = "Counts of events and deliveries, waiting mailboxes, and the state of every connection."

    def handle(self, *args: Any, as_json: bool, **options: Any) -> None:
        counts, boxes, connections = status.counts(), status.mailboxes(), status.connections()
        lines = [
            f"{name}: " + ", ".join(f"{count} {state}" for state, count in by_state.items())
            for name, by_state in counts.items()
        ]
        for box in boxes:
            queue = f"{box['waiting']} wait, the oldest for {box['oldest_seconds']} s"
            lines.append(f"  {box['connection']} {box['target']}: {queue}")
        for row in connections:
            lines.append(f"  {row['slug']} ({row['system']}): {row['state']} {row['detail']}".rstrip())
        document = {**counts, "mailboxes": boxes, "connections": connections}
        self.answer(document, *lines, as_json=as_json)
