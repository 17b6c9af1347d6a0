"""The collection map: all placements, watched in etcd and held in memory as an immutable snapshot."""
