"""The demonstration: three regions, three tenants, real documentation and questions, and the loss of a region."""
