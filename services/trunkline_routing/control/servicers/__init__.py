"""Transport of the control role: each handler parses, calls a use case and renders."""
