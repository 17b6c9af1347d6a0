"""Tenants as operators see and change them: wishes, views, and what every region says of one."""
