"""What was used, and what it costs: records, journals, price lists, the account; and the audit of searches."""
