"""Slack's part of the day: the workspace with its channels, what arrives there, and Slack's own troubles."""

from __future__ import annotations

import json
from typing import Any

from connector.demo.day import Arrived, Expected, Play, Scene, Stage, Until
from sinks.slack.standin import SlackStandIn

CONNECTION = "acme-slack"
#: Name and ID of each channel.
CHANNELS = {
    "ap": "C0AP00001",
    "ar": "C0AR00001",
    "cash": "C0CASH001",
    "exec-alerts": "C0EXEC001",
    "expenses": "C0EXP0001",
    "finance": "C0FIN0001",
    "ledger": "C0LEDGER1",
    "ops": "C0OPS0001",
    "orders": "C0ORDERS1",
    "projects": "C0PROJ001",
    "purchasing": "C0PURCH01",
}
#: What would call people together, were it not escaped.
_CALLS = ("<!channel", "<!here", "<!everyone", "<!subteam", "<@")
_POST = r"POST /api/chat\.postMessage"
_LOOK = r"POST /api/conversations\.(history|replies)"


def open_workspace(slack: SlackStandIn) -> dict[str, str]:
    """The channels before the day began; the variable that holds the bot token."""
    for name, id in CHANNELS.items():
        slack.add_channel(id, name)
    return {"SLACK_BOT_TOKEN": slack.issue_token()}


def route(name: str, source: str, channel: str, events: list[str], **more: Any) -> dict[str, Any]:
    """A route of the configuration file into one of the channels."""
    return {"name": name, "from": source, "to": CONNECTION, "channel": CHANNELS[channel], "events": events, **more}


class SlackScene(Scene):
    """The workspace. It has no day of its own; the other scenes bring its troubles about."""

    label = "Slack"

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        standin = stage.standins["slack"]
        assert isinstance(standin, SlackStandIn)
        self.slack = standin
        self._names = {id: name for name, id in CHANNELS.items()}
        self._is_subscribed = False

    def connections(self) -> list[dict[str, Any]]:
        credentials = {"bot_token": "env:SLACK_BOT_TOKEN"}
        return [{"slug": CONNECTION, "system": "slack", "account": self.slack.team.id, "credentials": credentials}]

    def routes(self) -> list[dict[str, Any]]:
        return [route("Slack troubles to ops", CONNECTION, "ops", ["connection.*"])]

    def start(self) -> None:
        self._is_subscribed = self.slack.subscribe(f"{self.stage.connector.url}/webhooks/slack/")

    def look(self) -> None:
        """Takes note of the messages that came since the last look, and shows them."""
        for post in self.slack.posts[len(self.stage.arrived) :]:
            channel = self._names.get(post.channel, post.channel)
            whole = json.dumps([post.text, post.blocks], ensure_ascii=False)
            self.stage.arrived.append(Arrived(channel, post.text, post.ts, post.thread_ts or "", post.at, whole))
            self.stage.screen.arrived(channel, post.text, is_reply=post.thread_ts is not None)

    # --- troubles ----------------------------------------------------------------------------------------------------

    def ask_for_pause(self, seconds: int) -> None:
        """The next post is answered 429."""
        self.slack.fail(_POST, "answer", answer=self.slack.ratelimited(seconds))
        self.say(f"answers the next post with 429, Retry-After {seconds}")

    def hang_up(self) -> Until:
        """The next post is taken, and the connection cut before the answer; until the connector has looked it up."""
        looks = self.slack.count(_LOOK)
        self.slack.fail(_POST, "cut_after")
        self.say("takes the next post, and cuts the connection before it answers")
        return Until("the channel to be read back", lambda: self.slack.count(_LOOK) > looks)

    def archive(self, channel: str, *, is_told: bool) -> None:
        """Archives a channel; with `is_told` Slack sends the event, else the next post finds out."""
        if is_told:
            self.slack.archive(CHANNELS[channel])
        else:
            self._set_archived(channel, is_archived=True)
        self.say(f"somebody archives #{channel}" + ("" if is_told else "; the event is lost"))

    def unarchive(self, channel: str, *, is_told: bool) -> None:
        if is_told:
            self.slack.unarchive(CHANNELS[channel])
        else:
            self._set_archived(channel, is_archived=False)
        self.say(f"#{channel} is back" + ("" if is_told else "; the event is lost"))

    def _set_archived(self, channel: str, *, is_archived: bool) -> None:
        with self.slack.lock:
            self.slack.team.channels[CHANNELS[channel]].is_archived = is_archived

    def expect_closed(self, channel: str) -> Expected:
        """The alert about a channel that takes no messages."""
        start = f"Connection {CONNECTION} is failing: Nothing can be posted to {CHANNELS[channel]}"
        return self.stage.expect(Expected("ops", start))

    def revoke(self) -> Expected:
        """Somebody revokes the bot token; the alert that says so (once there is a token again)."""
        self.slack.revoke_token()
        self.say("somebody revokes the bot token")
        return self.stage.expect(Expected("ops", f"Connection {CONNECTION} must be connected again"))

    def renew(self) -> Play:
        """A new bot token, brought in by a configuration file that holds no other credentials."""
        token = self.slack.issue_token()
        file = self.stage.configure("new-token.yaml", credentials_of=CONNECTION)
        self.say("the app is installed again: a new bot token")
        yield from self.run(
            self.stage.connector.begin("config", "apply", str(file), "--force-credentials", SLACK_BOT_TOKEN=token)
        )

    def problems(self) -> list[str]:
        found = [f"Slack was treated badly: {text}" for text in self.slack.violations]
        found += [f"Slack holds a message twice: {key}" for key in self.slack.duplicates()]
        for one in self.stage.arrived:
            found += [f"#{one.channel}: {one.text} calls people with {word}" for word in _CALLS if word in one.whole]
        if not self._is_subscribed:
            found.append("the connector did not answer Slack's challenge")
        return found
