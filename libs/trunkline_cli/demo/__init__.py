"""The demonstration: three regions, two tenants, real documentation, real questions, and the loss of a region."""
