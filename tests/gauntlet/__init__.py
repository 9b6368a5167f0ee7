"""The gauntlet: the whole product under fire, and an oracle that says what it lost, doubled or put out of order.

`make gauntlet` runs the long form, `tests/test_gauntlet.py` a short one. Events go in as signed webhooks while a seeded
schedule kills and freezes processes, wipes Redis and makes the vendors fail; the same seed gives the same schedule.
"""
