"""Benchmarks: DCLS beside its baseline, the `dcls` package and other taggers, on this machine."""
