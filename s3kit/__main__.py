"""``python -m s3kit`` is the ``s3kit`` command."""

from __future__ import annotations

from .cli import main

if __name__ == "__main__":
    main()
