"""The control role: the collection map, regions, tenants, spaces and policies. The only writer of etcd."""
