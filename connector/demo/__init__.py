"""The demonstration and the sandbox: the stand-ins of all vendors, and a working day played through them.

Nothing here is used by the connector itself. Without Django: `manage.py demo` and `manage.py sandbox` stay small.
"""
