"""What was used, and what it costs: records, journals, price lists, the account; and the audit of searches.

Modules that only read (`records`, `segments`, `scan`, `account`, `export`, `search_reader` and so on) need the standard
library alone; those that write need the services' packages.
"""
