"""One message per second and channel, held across all workers by Redis.

Keys of a channel: `fly` (somebody is posting; a random token), `gap` (the last post was less than the spacing ago).
Of a workspace: `pause` (the vendor asked all posts to wait). Of a mailbox: `arm` (a drain is already scheduled).
"""

from __future__ import annotations

import secrets
import time

from connector import locks

#: What the vendor counts in (seconds).
SECOND = 1.0
#: So many seconds a post is believed to have been on its way at most when its answer came late.
MOST_LATE = 0.25

# Returns milliseconds to wait; 0 = the caller holds `fly`; -1 = another does, and looks again when it lets go.
_ACQUIRE = """
local wait = math.max(redis.call('PTTL', KEYS[2]), redis.call('PTTL', KEYS[3]))
if wait > 0 then return wait end
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 0 end
return -1
"""
_RELEASE = """
local rest = tonumber(ARGV[2])
if rest > 0 and redis.call('PTTL', KEYS[2]) < rest then redis.call('SET', KEYS[2], '1', 'PX', rest) end
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""
_START = """
local wait = redis.call('PTTL', KEYS[2])
if wait <= 0 then redis.call('SET', KEYS[1], '1', 'PX', ARGV[1]) end
return wait
"""
_SET = "return redis.call('SET', KEYS[1], '1', 'PX', ARGV[1]) and 1"
_ARM = "return redis.call('SET', KEYS[1], '1', 'NX', 'PX', ARGV[1]) and 1 or 0"
_DISARM = "return redis.call('DEL', KEYS[1])"
# A sliding window per (kind, calls, seconds) row; returns 0 when the call may go, else milliseconds to wait.
_SPEND = """
local now = tonumber(ARGV[1])
local wait = 0
for i, key in ipairs(KEYS) do
  local calls, span = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now - span)
  if redis.call('ZCARD', key) >= calls then
    local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
    wait = math.max(wait, tonumber(first[2]) + span - now)
  end
end
if wait > 0 then return math.ceil(wait) end
for i, key in ipairs(KEYS) do
  redis.call('ZADD', key, now, ARGV[#ARGV])
  redis.call('PEXPIRE', key, tonumber(ARGV[2 * i + 1]))
end
return 0
"""


class Gate:
    """The pace of one mailbox's place: a channel, or a pair of records. Every method raises `locks.RedisAway`."""

    def __init__(self, mailbox: str, account: str, place: str, *, fly_seconds: float) -> None:
        # The vendor counts by its own channel and workspace, however many of our mailboxes lead there.
        self._fly, self._gap = (f"{name}:{place}" for name in ("fly", "gap"))
        self._pause = f"pause:{account}"
        self._arm = f"arm:{mailbox}"
        self._token = secrets.token_hex(8)
        self._fly_ms = int(fly_seconds * 1000)
        #: The gap of this post and when it began, and when the answer came (monotonic); 0 until then.
        self._gap_seconds = self._began = self._answered = 0.0

    def acquire(self) -> float:
        """0 = go; above 0 = seconds to wait; below 0 = another posts and will look again."""
        wait = int(locks.run(_ACQUIRE, [self._fly, self._gap, self._pause], [self._token, self._fly_ms]))
        return wait / 1000 if wait > 0 else wait

    def start_gap(self, seconds: float) -> float:
        """Called at the start of a post. Above 0 = do not post: all were asked meanwhile to wait so many seconds."""
        wait = max(0, int(locks.run(_START, [self._gap, self._pause], [int(seconds * 1000)]))) / 1000
        self._gap_seconds, self._began = seconds, time.monotonic()
        return wait

    def pause(self, seconds: float) -> None:
        """Nobody posts over this connection for so long."""
        locks.run(_SET, [self._pause], [max(1, int(seconds * 1000))])

    def note_answer(self) -> None:
        """The post has arrived by now, if at all."""
        self._answered = time.monotonic()

    def release(self) -> None:
        """Lets the next one in. A post that was slow on its way keeps its second from when it may have arrived."""
        rest = 0.0
        if self._answered:
            late = min(self._answered - self._began, MOST_LATE)
            rest = self._began + late + min(self._gap_seconds, SECOND) - time.monotonic()
        locks.run(_RELEASE, [self._fly, self._gap], [self._token, max(0, int(rest * 1000))])

    def arm(self, seconds: float) -> bool:
        """Whether the caller is the one who must schedule the next drain."""
        return bool(locks.run(_ARM, [self._arm], [int(seconds * 1000) + 2000]))

    def disarm(self) -> None:
        locks.run(_DISARM, [self._arm], [])


def spend(connection: str, limits: list[tuple[str, int, float]]) -> float:
    """Takes one call from each allowance; 0, or seconds to wait with nothing taken. Raises `locks.RedisAway`."""
    keys = [f"spent:{connection}:{kind}:{seconds:g}" for kind, _, seconds in limits]
    arguments: list[object] = [int(time.time() * 1000)]
    for _, calls, seconds in limits:
        arguments += [calls, int(seconds * 1000)]
    return int(locks.run(_SPEND, keys, [*arguments, secrets.token_hex(6)])) / 1000
