"""A bare HTTP and gRPC client of the Salesforce stand-in, and the vendor's samples."""

from __future__ import annotations

import datetime as dt
import json
import queue
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
import requests

from sources.salesforce.standin import SalesforceStandIn
from sources.salesforce.standin_pubsub import message
from sources.salesforce.standin_streams import PREFIX

NOON = dt.datetime(2026, 11, 20, 12, 0, 5, tzinfo=dt.UTC)
FIXTURES = Path(__file__).parent / "fixtures"
VERSION = "68.0"
APP = {"grant_type": "client_credentials", "client_id": "fake-client-id", "client_secret": "fake-client-secret"}
RPC_SECONDS = 30.0


class Reply:
    """An answer: its status, its document (numbers as `Decimal`), its headers."""

    def __init__(self, response: requests.Response) -> None:
        self.status = response.status_code
        self.headers = response.headers
        self.text = response.text
        self.document: Any = None
        if "json" in response.headers["Content-Type"] and response.content:
            self.document = json.loads(response.content, parse_float=Decimal)

    @property
    def code(self) -> str:
        """The error code of an error list."""
        code: str = self.document[0]["errorCode"]
        return code


class Client:
    """Calls of the connector's user, as it would make them."""

    def __init__(self, org: SalesforceStandIn) -> None:
        self.org = org
        self.token = org.issue_token()

    def post_token(self, form: dict[str, str], **headers: str) -> Reply:
        return Reply(requests.post(f"{self.org.url}/services/oauth2/token", form, headers=headers, timeout=5))

    def send(self, method: str, path: str, body: Any = None, *, params: Any = None, **headers: str) -> Reply:
        """A call below the version; names of headers are written with underscores."""
        named = {"Authorization": f"Bearer {self.token}", "Sforce-Call-Options": "client=ml-connector"}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        url = path if path.startswith("/") else f"/services/data/v{VERSION}/{path}"
        response = requests.request(method, self.org.url + url, json=body, params=params, headers=named, timeout=5)
        return Reply(response)

    def get(self, path: str, **params: str) -> Reply:
        return self.send("GET", path, params=params)

    def query(self, statement: str, *, resource: str = "query") -> Reply:
        return self.get(resource, q=statement)

    def upsert(self, entity: str, field: str, value: str, /, **fields: Any) -> Reply:
        return self.send("PATCH", f"sobjects/{entity}/{field}/{value}", fields)

    def account(self, number: str = "58", **fields: Any) -> str:
        """An account that the connector wrote; its ID."""
        reply = self.upsert("Account", "QBO_Customer_Id__c", number, **{"Name": f"Customer {number}", **fields})
        identifier: str = reply.document["id"]
        return identifier

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return (("accesstoken", self.token), ("instanceurl", self.org.url), ("tenantid", self.org.org_id))

    def rpc(self, name: str, asked: str, answered: str, metadata: Any = None, **fields: Any) -> Any:
        """One call of GetTopic or GetSchema."""
        with grpc.insecure_channel(self.org.pubsub_endpoint) as channel:
            call = channel.unary_unary(
                f"/eventbus.v1.PubSub/{name}", message(asked).SerializeToString, message(answered).FromString
            )
            return call(message(asked)(**fields), timeout=RPC_SECONDS, metadata=metadata or self.metadata)

    def topic(self, name: str) -> Any:
        return self.rpc("GetTopic", "TopicRequest", "TopicInfo", topic_name=name)

    def schema(self, schema_id: str) -> Any:
        return self.rpc("GetSchema", "SchemaRequest", "SchemaInfo", schema_id=schema_id)

    def subscribe(self, topic: str, preset: str = "LATEST", *, credit: int = 10, replay_id: bytes = b"") -> Stream:
        return Stream(self, topic, preset, credit, replay_id)


class Stream:
    """One subscription, closed at the end of its block."""

    def __init__(self, client: Client, topic: str, preset: str, credit: int, replay_id: bytes) -> None:
        self._asks: queue.Queue[Any] = queue.Queue()
        self._channel = grpc.insecure_channel(client.org.pubsub_endpoint)
        asked = message("FetchRequest")
        self._asks.put(asked(topic_name=topic, replay_preset=preset, replay_id=replay_id, num_requested=credit))
        call = self._channel.stream_stream(
            "/eventbus.v1.PubSub/Subscribe", asked.SerializeToString, message("FetchResponse").FromString
        )
        self._answers = call(iter(self._asks.get, None), timeout=RPC_SECONDS, metadata=client.metadata)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._asks.put(None)
        self._channel.close()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._answers)

    def next(self) -> Any:
        """The next answer; raises `grpc.RpcError`, or `StopIteration` at a normal end."""
        return next(self._answers)

    def ask(self, credit: int, topic: str = "") -> None:
        self._asks.put(message("FetchRequest")(num_requested=credit, topic_name=topic))

    def refusal(self) -> tuple[str, str]:
        """The status and the error code with which the stream ends."""
        try:
            for _ in self._answers:
                pass
        except grpc.RpcError as error:
            return refusal(error)
        return "OK", ""


def refusal(error: Any) -> tuple[str, str]:
    """The status and the error code of a failed call; its trailers must carry an ID too."""
    trailers: dict[str, str] = dict(error.trailing_metadata())
    assert trailers["rpc-id"]
    return error.code().name, trailers.get("error-code", "").removeprefix(PREFIX)


def sample(name: str) -> Any:
    return json.loads((FIXTURES / name).read_text())
