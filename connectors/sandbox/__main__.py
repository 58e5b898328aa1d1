"""`python -m connectors.sandbox make|score`: the sandbox's commands under its own name."""

import sys

from connectors.__main__ import main, sandbox

if __name__ == "__main__":
    sys.exit(main(sandbox))
