"""The routing service: role edge is the front door, role control writes the collection map."""
