"""The collection map as a YAML file: reading, writing, comparing with the live map, and applying the difference."""
