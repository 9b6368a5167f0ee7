"""Every table, one file for each part of the domain."""

from connector.models.audit import AuditBody, AuditEntry, AuditHead
from connector.models.connections import (
    BLOCKED,
    Connection,
    ConnectionState,
    Credential,
    Cursor,
    DirectoryName,
    NameOverride,
    OAuthState,
    VendorCalls,
)
from connector.models.deliveries import Attempt, Delivery, DeliveryState, Hold, Mailbox, Message
from connector.models.inbox import (
    MOVING,
    EventState,
    InboxEvent,
    Payload,
    PayloadKind,
    RecordState,
    SearchTerm,
)
from connector.models.links import Feedback, FeedbackState, Link, Watched
from connector.models.organizations import LastingKey, Organization
from connector.models.routes import Route
from connector.models.runs import Run, RunOutcome
from connector.models.schedules import Report, Schedule
from connector.models.subscriptions import Subscription, SubscriptionState

__all__ = [
    "BLOCKED",
    "MOVING",
    "Attempt",
    "AuditBody",
    "AuditEntry",
    "AuditHead",
    "Connection",
    "ConnectionState",
    "Credential",
    "Cursor",
    "Delivery",
    "DeliveryState",
    "DirectoryName",
    "EventState",
    "Feedback",
    "FeedbackState",
    "Hold",
    "InboxEvent",
    "LastingKey",
    "Link",
    "Mailbox",
    "Message",
    "NameOverride",
    "OAuthState",
    "Organization",
    "Payload",
    "PayloadKind",
    "RecordState",
    "Report",
    "Route",
    "Run",
    "RunOutcome",
    "Schedule",
    "SearchTerm",
    "Subscription",
    "SubscriptionState",
    "VendorCalls",
    "Watched",
]
