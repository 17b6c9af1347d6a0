"""What was used, and what it costs: records, journals, price lists, the account; and the audit of searches.

Modules that only read (`records`, `segments`, `account`, `export`, `verify`, `search_reader`) need no more than the standard library.
"""
