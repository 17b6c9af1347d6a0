"""Routing policies: their format, the stages that decide by them, and what measures, fits and proposes them. No I/O."""
