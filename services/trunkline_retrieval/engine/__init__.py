"""The embedded vector engine: worker processes beside the service, and what is needed to talk to them.

The engine runs outside the gRPC process because it holds the interpreter's lock while it works (an index build takes
seconds to minutes) and dies by SIGBUS on a full disk. Modules here that the worker imports stay free of grpc, numpy
and the mesh runtime, so that a worker is back within a fraction of a second.
"""
