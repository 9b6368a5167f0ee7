#!/usr/bin/env python
"""The command line of ml-connector."""

import os
import sys


def main() -> None:
    if len(sys.argv) > 1 and sys.argv[1] in ("demo", "sandbox"):
        # They run the connector beside themselves, with settings of its own making, and need none here.
        from connector.demo.main import main as show

        sys.exit(show(sys.argv[1:]))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "connector.settings")
    from connector.environment import ensure_keys, ensure_var_dir

    if len(sys.argv) > 1 and sys.argv[1] in ("up", "migrate"):
        ensure_keys()
        ensure_var_dir()
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
