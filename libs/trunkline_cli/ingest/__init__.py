"""Files to documents to a collection: only what changed is sent, and it can be stopped and resumed at any time."""
