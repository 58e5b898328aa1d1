"""The whole small lake, which these tests copy and break."""

from tests.whole.conftest import built, shared

__all__ = ["built", "shared"]
