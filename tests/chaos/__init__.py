"""What is killed, frozen, cut or slowed on purpose while callers are served; each command ends with its figures."""
