"""What callers say of decisions: its form, and the journal in which it is kept within the tenant's jurisdiction."""
