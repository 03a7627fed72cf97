"""What needs no I/O, clock or threads: the facts, the verdicts and the formats."""
