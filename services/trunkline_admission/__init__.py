"""The admission service: may this tenant spend? Quotas of one region, their permits and leases."""
