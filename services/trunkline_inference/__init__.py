"""The inference service of one region: embeddings and scores from models in Triton, behind caches."""
