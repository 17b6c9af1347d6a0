"""The rerank service of one region: reorders candidates within the time that the caller has left."""
