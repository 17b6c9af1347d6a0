"""The `trunkline` command: local stacks, searching, ingestion, and the collection map.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 refused with a reason of the contract, 4 no stack runs here, 130 stopped
by Ctrl-C, 141 if whoever read the output went away.
"""
