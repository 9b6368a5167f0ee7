"""A strict stand-in for Slack: Web API, OAuth, Events API and a page that shows the workspace as a person sees it.

Built from vendors/slack.md. It refuses what Slack refuses, counts posts that come faster than Slack's pace, and can
cut connections after accepting a post. Nothing here is shared with the client it answers.
"""

from __future__ import annotations

import json
import math
import random
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from connector.kernel.standin import Answer, Call, Fault, StandIn, json_answer
from sinks.slack import standin_chat, standin_conversations, standin_events, standin_page, standin_wire
from sinks.slack.standin_oauth import Installer
from sinks.slack.standin_wire import answer_call, read_arguments
from sinks.slack.standin_workspace import MANIFEST_SCOPES, Channel, Post, RefusedError, Workspace

__all__ = ["MANIFEST_SCOPES", "Channel", "Post", "SlackStandIn"]

POST_MESSAGE = "/api/chat.postMessage"
SPACING_SECONDS = 1.0


class SlackStandIn(StandIn):
    """One Slack workspace with one app, on a local port.

    `refuse_fast` answers 429 to the second of two posts in one second (else it is stored; a violation either way).
    `pause_grace` seconds of a Retry-After pause are refused without being a violation: calls already on their way.
    `history_limit=15, history_per_minute=1` is the tier of apps sold outside the Slack Marketplace. `rotation` gives
    expiring tokens. `cut_after_rate` of the posts lose their answer, chosen by `seed`.
    """

    routes: ClassVar[tuple[tuple[str, str, str], ...]] = (
        ("POST", r"/api/([\w.]+)", "api"),
        ("GET", r"/api/([\w.]+)", "api"),
        ("GET", r"/oauth/v2/authorize", "authorize"),
        ("GET", r"/", "page"),
        ("GET", r"/channel/(\w+)", "page"),
        ("GET", r"/archives/(\w+)/p(\d+)", "permalink"),
        ("GET", r"/_control/page/(\w+)", "page_parts"),
        ("GET", r"/_control/(posts|violations|duplicates)", "control_read"),
        ("POST", r"/_control/(\w+)", "control"),
    )

    def __init__(
        self,
        *,
        client_id: str = "fake-client-id",
        client_secret: str = "fake-client-secret",
        signing_secret: str = "fake-signing-secret",
        team: str = "T0STANDIN",
        team_name: str = "Acme Finance",
        workspace_url: str = "",
        bot_name: str = "ml-connector",
        tokens: Sequence[str] = ("xoxb-fake-standin",),
        redirect_uris: Sequence[str] = (),
        rotation: bool = False,
        refuse_fast: bool = False,
        pause_grace: float = 0.0,
        history_limit: int | None = None,
        history_per_minute: int | None = None,
        cut_after_rate: float = 0.0,
        seed: int = 0,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        super().__init__(host=host, port=port)
        domain = re.sub(r"[^a-z0-9]+", "-", team_name.lower()).strip("-")
        url = workspace_url or f"https://{domain}.slack.com/"
        self.team = Workspace(id=team, name=team_name, url=url, bot_name=bot_name, violations=self.violations)
        self.team.history_limit = history_limit
        self.team.history_per_minute = history_per_minute
        for token in tokens:
            self.team.issue(MANIFEST_SCOPES, value=token)
        self.installer = Installer(
            self.team,
            client_id=client_id,
            client_secret=client_secret,
            redirect_uris=redirect_uris,
            rotation=rotation,
        )
        self._methods = {**standin_chat.METHODS, **standin_conversations.METHODS, **self.installer.methods()}
        self._signing_secret = signing_secret
        self._events_url = ""
        self._refuse_fast = refuse_fast
        self._pause_grace = pause_grace
        self._pause = (0.0, 0.0)
        self._arrivals: dict[str, float] = {}
        self._cut_after_rate = cut_after_rate
        self._random = random.Random(seed)

    ratelimited = staticmethod(standin_wire.ratelimited)
    html_503 = staticmethod(standin_wire.html_503)
    error = staticmethod(standin_wire.error)

    # The workspace, as its people change it.

    @property
    def posts(self) -> list[Post]:
        """The accepted posts in the order of arrival."""
        with self.lock:
            return list(self.team.posts)

    def duplicates(self) -> list[str]:
        """The delivery ids found in the metadata of more than one stored message of the same channel."""
        with self.lock:
            return self.team.duplicates()

    def add_channel(
        self, id: str, name: str, is_private: bool = False, is_member: bool = False, is_archived: bool = False
    ) -> Channel:
        """A new channel; an ID that exists already is taken over with its messages."""
        with self.lock:
            channel = self.team.channels.setdefault(id, Channel(id, name, created=int(time.time())))
            channel.name, channel.is_private = name, is_private
            channel.is_member, channel.is_archived = is_member, is_archived
            return channel

    def set_member(self, id: str, is_member: bool) -> None:
        """Invites the bot to a channel, or removes it."""
        with self.lock:
            self.team.channels[id].is_member = is_member

    def archive(self, id: str) -> int | None:
        """Archives a channel and tells the subscriber, if any; returns the status it answered."""
        with self.lock:
            self.team.channels[id].is_archived = True
        return self._tell_channel(id, "archive", id)

    def unarchive(self, id: str) -> int | None:
        """The opposite of `archive`."""
        with self.lock:
            self.team.channels[id].is_archived = False
        return self._tell_channel(id, "unarchive", id)

    def rename(self, id: str, name: str) -> int | None:
        """Renames a channel; the event's `channel` is an object, unlike in the other channel events."""
        with self.lock:
            channel = self.team.channels[id]
            channel.previous_names.append(channel.name)
            channel.name = name
        return self._tell_channel(id, "rename", {"id": id, "name": name, "created": channel.created})

    def delete(self, id: str) -> int | None:
        """Deletes a channel with its messages; `posts` keeps what was accepted."""
        with self.lock:
            is_private = self.team.channels.pop(id).is_private
        return self._tell({"type": "group_deleted" if is_private else "channel_deleted", "channel": id})

    def issue_token(self, scopes: Sequence[str] = MANIFEST_SCOPES, expires_in: float | None = None) -> str:
        """A new bot token; with `expires_in` seconds it answers token_expired afterwards."""
        with self.lock:
            return self.team.issue(scopes, expires_at=None if expires_in is None else time.time() + expires_in).value

    def revoke_token(self, token: str = "") -> int | None:
        """Kills a token (all of them when none is named) and tells the subscriber that the bot's tokens are revoked."""
        with self.lock:
            for one in [self.team.tokens[token]] if token else list(self.team.tokens.values()):
                one.error = "token_revoked"
        return self._tell({"type": "tokens_revoked", "tokens": {"oauth": [], "bot": [self.team.bot_user_id]}})

    def uninstall(self) -> int | None:
        """Removes the app from the workspace: every token is of an inactive account."""
        with self.lock:
            for token in self.team.tokens.values():
                token.error = "account_inactive"
        return self._tell({"type": "app_uninstalled"})

    # The Events API.

    def build_event(
        self,
        event: Mapping[str, Any],
        event_id: str | None = None,
        retry_num: int | None = None,
        at: float | None = None,
    ) -> tuple[bytes, dict[str, str]]:
        """An event_callback as (body, signed headers), as if sent at `at`; `retry_num` 1 to 3 marks it as a retry."""
        team = self.team
        body = standin_events.envelope(
            event, team_id=team.id, app_id=team.app_id, bot_user_id=team.bot_user_id, event_id=event_id, at=at
        )
        headers = standin_events.sign(self._signing_secret, body, at=at)
        if retry_num is not None:
            headers |= {"X-Slack-Retry-Num": str(retry_num), "X-Slack-Retry-Reason": "http_timeout"}
        return body, headers

    def send_event(
        self, url: str, event: Mapping[str, Any], event_id: str | None = None, retry_num: int | None = None
    ) -> tuple[int, bytes]:
        """Sends an event; returns what the app answered, status 0 for nothing within three seconds."""
        body, headers = self.build_event(event, event_id, retry_num)
        return standin_events.post(url, body, headers)

    def subscribe(self, url: str) -> bool:
        """Verifies a request URL with a signed challenge; once it answers, channel and token events go there."""
        challenge = secrets.token_hex(26)
        document = {"token": "verification-token", "challenge": challenge, "type": "url_verification"}
        body = json.dumps(document).encode()
        status, answer = standin_events.post(url, body, standin_events.sign(self._signing_secret, body))
        is_verified = status == 200 and challenge in answer.decode(errors="replace")
        if is_verified:
            self._events_url = url
        return is_verified

    def _tell_channel(self, id: str, what: str, channel: Any) -> int | None:
        kind = "group" if self.team.channels[id].is_private else "channel"
        return self._tell({"type": f"{kind}_{what}", "channel": channel, "user": self.team.installer_id})

    def _tell(self, event: Mapping[str, Any]) -> int | None:
        # Never under the lock: the subscriber may call the Web API before it answers.
        if not self._events_url:
            return None
        return self.send_event(self._events_url, {**event, "event_ts": f"{time.time():.6f}"})[0]

    # Pace and faults.

    def clear(self) -> None:
        """Forgets calls, faults, violations, and the state of the pace; the workspace's own records stay."""
        super().clear()
        with self.lock:
            self._arrivals.clear()
            self._pause = (0.0, 0.0)
            self.team.history_calls.clear()

    def take_fault(self, call: Call) -> Fault | None:
        """The pace comes first, on arrival and whatever becomes of the call: each arriving post counts."""
        if call.path != POST_MESSAGE:
            return super().take_fault(call)
        with self.lock:
            wait = self._arrive(call)
            if wait:
                return Fault("", "answer", answer=self.ratelimited(wait))
            fault = super().take_fault(call)
            if fault is None and self._random.random() < self._cut_after_rate:
                fault = Fault("", "cut_after")
            if fault and fault.kind == "answer" and fault.answer and fault.answer.status == 429:
                self._start_pause(call.at, int(fault.answer.headers.get("Retry-After", "1")))
            return fault

    def _arrive(self, call: Call) -> int:
        """Notes a post's arrival and its violations; the seconds to wait when it is refused, else 0."""
        try:
            reference = str(read_arguments(call)[0].get("channel", ""))
            channel = self.team.channel(reference, by_name=True).id
        except RefusedError:
            return 0
        given, until = self._pause
        gap = call.at - self._arrivals.get(channel, -math.inf)
        self._arrivals[channel] = max(call.at, self._arrivals.get(channel, 0.0))
        if gap < SPACING_SECONDS:
            self.violations.append(f"chat.postMessage to {channel} came {gap:.3f} s after the one before")
        if call.at < until:
            if call.at >= given + self._pause_grace:
                left = until - call.at
                self.violations.append(f"chat.postMessage to {channel} came {left:.3f} s before the end of a pause")
            return max(1, math.ceil(until - call.at))
        if gap < SPACING_SECONDS and self._refuse_fast:
            self._start_pause(call.at, 1)
            return 1
        return 0

    def _start_pause(self, at: float, seconds: int) -> None:
        self._pause = (at, max(self._pause[1], at + seconds))

    # HTTP.

    def api(self, call: Call, match: re.Match[str]) -> Answer:
        with self.lock:
            return answer_call(self.team, call, match[1], self._methods.get(match[1]))

    def authorize(self, call: Call, match: re.Match[str]) -> Answer:
        with self.lock:
            return self.installer.authorize(call)

    def page(self, call: Call, match: re.Match[str]) -> Answer:
        with self.lock:
            channel = match[1] if match.re.groups else ""
            return standin_page.page(self.team, channel)

    def page_parts(self, call: Call, match: re.Match[str]) -> Answer:
        with self.lock:
            return standin_page.parts(self.team, match[1], call.query.get("version", ""))

    def permalink(self, call: Call, match: re.Match[str]) -> Answer:
        return Answer(302, b"", {"Location": f"/channel/{match[1]}#m-{match[2]}"}, "text/plain")

    # Control from another process.

    def control_read(self, call: Call, match: re.Match[str]) -> Answer:
        """What was posted (`channel` ID and `since` epoch seconds narrow it), violated or duplicated, as JSON."""
        with self.lock:
            if match[1] == "violations":
                return json_answer({"violations": self.violations})
            if match[1] == "duplicates":
                return json_answer({"duplicates": self.team.duplicates()})
            try:
                since = float(call.query.get("since", "0"))
            except ValueError:
                return json_answer({"ok": False, "error": "since: give epoch seconds"}, status=400)
            channel = call.query.get("channel", "")
            posts = [one for one in self.team.posts if one.at >= since and channel in ("", one.channel)]
            return json_answer({"posts": [_shown(post) for post in posts]})

    def control(self, call: Call, match: re.Match[str]) -> Answer:
        """Runs the Python API's method of the same meaning with the JSON body as its keyword arguments."""
        name = _CONTROL.get(match[1])
        if name is None:
            return json_answer({"ok": False, "error": f"no such control: {match[1]}"}, status=404)
        try:
            result = getattr(self, name)(**(call.json() if call.body else {}))
        except (LookupError, TypeError, ValueError) as error:
            return json_answer({"ok": False, "error": f"{type(error).__name__}: {error}"}, status=400)
        return json_answer({"ok": True, "result": result})

    def _control_channel(self, **arguments: Any) -> str:
        return self.add_channel(**arguments).id

    def _control_event(self, url: str, event: Mapping[str, Any], **arguments: Any) -> dict[str, Any]:
        status, body = self.send_event(url, event, **arguments)
        return {"status": status, "body": body.decode(errors="replace")}

    def _control_fault(
        self, pattern: str, kind: str, times: int = 1, seconds: float = 0, answer: Mapping[str, Any] | None = None
    ) -> None:
        """`answer` is {"ratelimited": seconds}, {"html_503": true} or {"error": code, ...}."""
        ready: Answer | None = None
        if answer and "ratelimited" in answer:
            ready = self.ratelimited(int(answer["ratelimited"]))
        elif answer and "html_503" in answer:
            ready = self.html_503()
        elif answer:
            extra = dict(answer)
            ready = self.error(extra.pop("error"), **extra)
        self.fail(pattern, kind, times=times, seconds=seconds, answer=ready)


_CONTROL = {
    "channel": "_control_channel",
    "member": "set_member",
    "archive": "archive",
    "unarchive": "unarchive",
    "rename": "rename",
    "delete": "delete",
    "issue_token": "issue_token",
    "revoke_token": "revoke_token",
    "uninstall": "uninstall",
    "subscribe": "subscribe",
    "event": "_control_event",
    "fault": "_control_fault",
    "clear": "clear",
}


def _shown(post: Post) -> dict[str, Any]:
    """A post for the control interface; tokens stay inside."""
    fields = ("channel", "ts", "at", "thread_ts", "text", "blocks", "metadata")
    return {name: getattr(post, name) for name in fields}
