"""The dashboard behind a login: Optuna's pages, compressed, guarded, and fast at large studies."""

from ecd_tune.serve.access import Access, load_access
from ecd_tune.serve.app import Settings, build_app
from ecd_tune.serve.passwords import hash_password
from ecd_tune.serve.server import serve

__all__ = ["Access", "Settings", "build_app", "hash_password", "load_access", "serve"]
