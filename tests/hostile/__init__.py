"""Hostile input: one named test per way to attack the gateway, and a fuzzer."""
