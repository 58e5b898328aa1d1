"""The whole small lake, before and after its first run."""

from tests.whole.conftest import built, loaded, shared

__all__ = ["built", "loaded", "shared"]
