"""What happens in the books of each system: records that are made, changed, paid, emailed and deleted."""

from __future__ import annotations

import collections
import dataclasses
import random

#: What is told in Slack, and what is kept in step.
TOLD = ("quickbooks_online", "quickbooks_desktop", "freshbooks")
SYSTEMS = (*TOLD, "salesforce")
#: The connection of the company that is kept in step with the org.
LEDGER = "acme-ledger"
CHANNEL, EVERYTHING = "C0GAUNTLET{:02}", "C0GAUNTLETALL"
#: A record meets its second happening no sooner than so many seconds after its first, and so often.
SETTLED = 4.0
SECOND = 0.2

#: System -> the letter of its numbers.
LETTERS = {"quickbooks_online": "G", "quickbooks_desktop": "D", "freshbooks": "F"}
#: System -> its records, and what may happen to each once it is there.
LATER: dict[str, dict[str, tuple[str, ...]]] = {
    "quickbooks_online": {"bill": ("updated",), "invoice": ("updated",)},
    "quickbooks_desktop": {
        "bill": ("updated", "paid", "deleted"),
        "purchase_order": ("updated", "deleted"),
        "vendor": ("updated", "deleted"),
        "payment": ("updated", "deleted"),
    },
    "freshbooks": {
        "invoice": ("updated", "paid", "emailed", "deleted"),
        "bill": ("updated", "paid"),
        "expense": ("updated", "deleted"),
    },
}
#: What pays a record is told as a record of its own; FreshBooks tells of paid bills by the bill alone.
PAYMENTS = {("quickbooks_desktop", "bill"): "bill_payment", ("freshbooks", "invoice"): "payment"}


@dataclasses.dataclass(frozen=True, slots=True)
class Happening:
    """Something that is to be told; the amount is what the record has from then on, in whole dollars.

    A payment is entered by the "paid" of what it pays: `payer` there and `pays` here are each other's record.
    """

    system: str
    record: int
    noun: str
    operation: str
    amount: int
    payer: int = 0
    pays: int = 0

    @property
    def number(self) -> str:
        return f"{LETTERS[self.system]}-{self.record:05}"

    @property
    def channel(self) -> str:
        """Each channel takes a thousand of amounts; vendors have none."""
        return EVERYTHING if self.noun == "vendor" else CHANNEL.format(self.amount // 1000)

    @property
    def channels(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.channel, EVERYTHING)))

    @property
    def name(self) -> str:
        """What a record is called that has no number of its own."""
        return f"{self.number} Supply {self.amount}"

    @property
    def words(self) -> tuple[str, ...]:
        """What its line says, whatever else."""
        said = f"Supply {self.amount}" if self.noun == "vendor" else f"${self.amount:,}.00"
        return (said, self.operation) if self.operation in ("paid", "deleted") else (said,)

    @property
    def waits(self) -> bool:
        """Whether the record must have been told before: read together with its making it would look otherwise."""
        return self.operation in ("paid", "deleted")

    @property
    def most_lines(self) -> int:
        """An emailed invoice also changes its status, which may be told apart."""
        return 2 if self.operation == "emailed" else 1


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """What happens at once, so many seconds after the start."""

    at: float
    happenings: tuple[Happening, ...]


def plan(system: str, seed: int, events: int, channels: int, seconds: float) -> list[Batch]:
    """So many happenings over so many seconds, one to four at once. No record has more than two."""
    chance = random.Random(f"{system} {seed}")
    fresh: collections.deque[tuple[float, Happening]] = collections.deque()
    batches: list[Batch] = []
    told = records = 0
    while told < events:
        at = seconds * told / events
        batch: list[Happening] = []
        wanted = min(chance.choice((1, 1, 1, 2, 3, 4)), events - told)
        while len(batch) < wanted:
            if fresh and fresh[0][0] < at - SETTLED and chance.random() < SECOND:
                found = _second(fresh.popleft()[1], chance, records + 1, room=events - told - len(batch))
                records += len(found) - 1
                batch += found
                continue
            records += 1
            amount = 1000 * chance.randrange(channels) + chance.randrange(100, 900)
            noun = chance.choice(list(LATER[system]))
            batch.append(Happening(system, records, noun, "created", amount))
            fresh.append((at, batch[-1]))
        told += len(batch)
        batches.append(Batch(at, tuple(batch)))
    return batches


def _second(first: Happening, chance: random.Random, record: int, *, room: int) -> list[Happening]:
    """What happens to a record next; a payment takes the next record's number."""
    operation = chance.choice(LATER[first.system][first.noun])
    payment = PAYMENTS.get((first.system, first.noun))
    if operation != "paid" or not payment:
        added = 1 if operation == "updated" else 0
        return [dataclasses.replace(first, operation=operation, amount=first.amount + added)]
    if room < 2:
        return [dataclasses.replace(first, operation="updated", amount=first.amount + 1)]
    return [
        Happening(first.system, record, payment, "created", first.amount, pays=first.record),
        dataclasses.replace(first, operation="paid", payer=record),
    ]
