"""Parts of `trunkline usage` and `trunkline audit searches`."""
