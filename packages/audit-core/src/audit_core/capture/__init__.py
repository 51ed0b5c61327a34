"""Capture: who, from where and why, on its way from the application to the server, before the first write."""
