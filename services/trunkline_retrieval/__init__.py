"""The retrieval service: hybrid search, writes and export in one region's vector store."""
