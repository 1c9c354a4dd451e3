"""Bots that keep a market alive: pure decision cores and one shell that runs them all.

A strategy is on_tick(view, rng, now_ns) -> messages; it reads no clock and no socket and draws
chance only from rng, so the same seed and the same views give the same orders. Inventory and open
orders of every bot are bounded, and prices lean back to the reference price.
"""
