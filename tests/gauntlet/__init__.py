"""The gauntlet: the whole product under fire, and an oracle that says what it lost, doubled or put out of order.

`make gauntlet` runs the long form, `tests/test_gauntlet.py` a short one. The books of every system change at once:
QuickBooks Online and FreshBooks tell of it by signed webhooks, the Web Connector of QuickBooks Desktop by its updates.
Meanwhile a seeded schedule kills and freezes processes, wipes Redis and makes the vendors fail; the same seed gives the
same schedule.
"""
