"""The learner role: trains heads off the hot path, evaluates policies, measures routing, and proposes better ones."""
