"""A second worker host: the two workers of `manage.py up`, under a supervisor and a VAR_DIR of their own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from connector.children import children
from connector.supervisor import Supervisor


def main() -> int:
    var_dir = Path(os.environ["VAR_DIR"])
    (var_dir / "run").mkdir(parents=True, exist_ok=True)
    rows = [row for row in children("", 0, var_dir=var_dir, with_redis=False) if row.name in ("slack", "work")]
    return Supervisor(rows, run_dir=var_dir / "run", ready="").run()


if __name__ == "__main__":
    sys.exit(main())
