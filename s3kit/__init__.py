"""s3kit gives any Python web app an S3 API."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING
from typing import Any

if TYPE_CHECKING:
    from .app import S3App
    from .auth.hook import AuthorizationRequest
    from .client import Client
    from .config import Config
    from .config import ConfigError
    from .middleware.mount import mount
    from .model import Decision
    from .presigning import presign
    from .presigning import presign_post

__all__ = [
    "AuthorizationRequest",
    "Client",
    "Config",
    "ConfigError",
    "Decision",
    "S3App",
    "mount",
    "presign",
    "presign_post",
]
__version__ = "0.1.0"

# Found at first use: pytest imports s3kit in every project that has it installed, and should not
# load SQLAlchemy there.
_WHERE = {
    "AuthorizationRequest": ".auth.hook",
    "Client": ".client",
    "Config": ".config",
    "ConfigError": ".config",
    "Decision": ".model",
    "S3App": ".app",
    "mount": ".middleware.mount",
    "presign": ".presigning",
    "presign_post": ".presigning",
}
_MODULES = ("errors", "signals")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(_WHERE[name], __name__), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
