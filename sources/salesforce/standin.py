"""A strict stand-in for a Salesforce org: OAuth, REST API, and change events over the Pub/Sub API.

REST and the token endpoint share one HTTP port; the gRPC service listens on a port of its own, in plaintext and on
loopback only. It refuses what the vendor refuses; what a client did that the vendor would refuse or be harmed by is
noted in `violations`. Written from the vendor's documents and captured traffic; it shares no code with the client.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, ClassVar

import grpc

from connector.kernel.standin import Answer, Call, Fault, json_answer
from sources.salesforce.standin_faults import ANSWERS, VendorError
from sources.salesforce.standin_page import page
from sources.salesforce.standin_people import Org
from sources.salesforce.standin_records import Write
from sources.salesforce.standin_streams import PubSubServer
from sources.salesforce.standin_values import shown


class SalesforceStandIn(Org):
    """Salesforce for tests, the sandbox and the demo."""

    routes: ClassVar[tuple[tuple[str, str, str], ...]] = (
        *Org.routes,
        ("GET", r"/", "_page"),
        ("GET", r"/_control/calls", "_control_calls"),
        ("POST", r"/_control/fault", "_control_fault"),
        ("POST", r"/_control/(\w+)", "_control"),
    )

    def __init__(
        self,
        client_id: str = "fake-client-id",
        client_secret: str = "fake-client-secret",
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        pubsub_port: int = 0,
        name: str = "Acme Services LLC",
    ) -> None:
        super().__init__(client_id, client_secret, host=host, port=port)
        self.name = name
        try:
            self.pubsub = PubSubServer(self.bus, self.authorize_rpc, host="127.0.0.1", port=pubsub_port)
        except OSError:
            self._server.server_close()
            raise
        self.pubsub.violations = self.violations

    def start(self) -> SalesforceStandIn:
        self.pubsub.start()
        super().start()
        return self

    def stop(self) -> None:
        self.pubsub.stop()
        super().stop()

    @property
    def pubsub_endpoint(self) -> str:
        """Where the gRPC service listens: "127.0.0.1:port"."""
        return self.pubsub.endpoint

    @property
    def writes(self) -> list[Write]:
        """What was changed through the API, one entry for each record and change that was committed."""
        return self.records.writes

    def clear(self) -> None:
        super().clear()
        with self.lock:
            self.records.writes.clear()
            self.records.refusals.clear()
            self.pubsub.calls.clear()

    def take_fault(self, call: Call) -> Fault | None:
        return None if call.path.startswith("/_control/") else super().take_fault(call)

    def revoke_tokens(self) -> None:
        super().revoke_tokens()
        self.pubsub.wake()

    # Streams

    @property
    def streams(self) -> int:
        """How many subscriptions are open."""
        return len(self.pubsub.streams)

    def wait_for_streams(self, count: int = 1, seconds: float = 5.0) -> bool:
        """Waits until so many subscriptions are open; whether they are."""
        return self.pubsub.wait_for_streams(count, seconds)

    def cut_streams(self, code: str = "", status: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE) -> None:
        """Breaks every open subscription: with an error code of the vendor, or as a lost connection does."""
        self.pubsub.cut_streams(code, status)

    def end_streams(self) -> None:
        """Ends every open subscription normally, as the vendor does now and then."""
        self.pubsub.end_streams()

    def silence(self, is_silent: bool = True) -> None:
        """Whether open subscriptions say nothing at all, not even that they are alive."""
        self.pubsub.is_silent = is_silent
        self.pubsub.wake()

    def fail_rpc(self, rpc: str, code: str, *, times: int = 1) -> None:
        """The next calls of "Subscribe", "GetTopic" or "GetSchema" are refused with this code (without its prefix)."""
        self.pubsub.fail(rpc, code, times=times)

    def allow_rpcs(self) -> None:
        """No scripted refusal of a call is left."""
        self.pubsub.allow()

    def deny_topic(self, topic: str, is_denied: bool = True) -> None:
        """The integration user loses View All Records on a topic's object, or has it again."""
        (self.pubsub.denied_topics.add if is_denied else self.pubsub.denied_topics.discard)(topic)

    def _event_limit(self) -> dict[str, int]:
        allowance = self.pubsub.delivery_allowance
        return {"Max": allowance, "Remaining": max(0, allowance - self.pubsub.delivered)}

    # A person's view, and control from another process

    def _page(self, call: Call, match: object) -> Answer:
        with self.lock:
            return page(self.records, self.name)

    def _control_calls(self, call: Call, match: object) -> Answer:
        with self.lock:
            calls = [
                {
                    "method": seen.method,
                    "path": seen.path,
                    "query": seen.query,
                    "body": seen.body.decode(errors="replace") if "/oauth2/" not in seen.path else "",
                }
                for seen in self.calls
                if not seen.path.startswith("/_control/")
            ]
            writes = [{"object": write.object, "id": write.id, "fields": write.fields} for write in self.writes]
            return json_answer(
                {"calls": calls, "violations": self.violations, "writes": writes, "rpcs": self.pubsub.calls}
            )

    def _control_fault(self, call: Call, match: object) -> Answer:
        asked = call.json()
        if "rpc" in asked:
            self.fail_rpc(asked["rpc"], asked["code"], times=asked.get("times", 1))
            return json_answer({})
        answer = ANSWERS[asked["answer"]]() if "answer" in asked else None
        kind = asked.get("kind", "answer")
        self.fail(asked["pattern"], kind, times=asked.get("times", 1), answer=answer, seconds=asked.get("seconds", 0))
        return json_answer({})

    def _control(self, call: Call, match: re.Match[str]) -> Answer:
        asked = call.json() if call.body else {}
        entity, identifier, fields = asked.get("object", ""), asked.get("id", ""), asked.get("fields", {})
        actions: dict[str, Callable[[], Any]] = {
            "create": lambda: self.create(entity, **fields),
            "edit": lambda: self.edit(entity, identifier, **fields),
            "delete": lambda: self.delete(entity, identifier),
            "undelete": lambda: self.undelete(entity, identifier),
            "merge": lambda: self.merge(asked["winner"], asked["loser"]),
            "product": lambda: self.add_product(asked["name"], asked.get("price", "1"), **fields),
            "order": lambda: self.add_order(asked["account"], asked["lines"], activate=asked.get("activate", False)),
            "reduce": lambda: self.reduce(identifier, activate=asked.get("activate", False)),
            "activate": lambda: self.activate(identifier),
            "deactivate": lambda: self.deactivate(identifier),
            "records": lambda: [{name: shown(value) for name, value in row.items()} for row in self.all_of(entity)],
            "hide": lambda: self.hide(entity),
            "revoke": self.revoke_tokens,
            "cut": lambda: self.cut_streams(asked.get("code", "")),
            "silence": lambda: self.silence(asked["is_silent"]),
            "gap": lambda: self.gap(entity, asked["operation"], asked["ids"]),
            "overflow": lambda: self.overflow(entity),
            "expire_replay_ids": self.expire_replay_ids,
        }
        verb = match[1]
        if verb not in actions:
            return Answer(404)
        try:
            return json_answer({"result": actions[verb]()})
        except (VendorError, LookupError, TypeError) as error:
            return json_answer({"error": f"{type(error).__name__}: {error}"}, status=400)
