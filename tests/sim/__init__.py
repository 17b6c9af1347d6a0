"""Admission simulated: the product's quota and limiter code under a virtual clock. See `tests.sim.admission`."""
