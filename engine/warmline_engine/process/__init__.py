"""The engine process: connections, the work queue, the worker thread."""
