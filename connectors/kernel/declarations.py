"""What is wrong with the declarations of sources: their files and mappings, and what their streams say to their connectors."""

from __future__ import annotations

from conf import settings
from connectors.kernel.connector import connector_of
from connectors.kernel.errors import MissingFolderError, StreamDeclarationError


def faults() -> dict[str, str]:
    """By the name of a source, the sentence that says what is wrong with its declaration."""
    found = settings.faults()
    for source in settings.sources():
        connector = connector_of(source)
        try:
            for stream in source.streams:
                connector.declared(source, stream)
        except StreamDeclarationError as error:
            found[source.source] = str(error)
        except MissingFolderError:  # a matter of this machine, not of the declaration
            continue
    return found


def sound_sources() -> tuple[settings.Source, ...]:
    """The sources whose declarations are right, sorted by name."""
    wrong = faults()
    return tuple(source for source in settings.sources() if source.source not in wrong)
