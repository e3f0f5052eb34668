"""Everything Headway raises. A docstring's first line is the message when no better one was given."""


class HeadwayError(Exception):
    """Something went wrong in Headway."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").partition("\n")[0])


class ConfigurationError(HeadwayError):
    """Headway is not configured. Set HEADWAY_REDIS_URL, for example redis://localhost:6379/0."""


class JournalUnavailable(HeadwayError):
    """Redis does not answer. Check that it runs and that HEADWAY_REDIS_URL points at it."""


class InvalidReport(HeadwayError, ValueError):
    """A report cannot be sent as it is. Only raised with strict=True; otherwise it is logged and mended."""


class Failure(HeadwayError):
    """The task failed.

    Raise it in a task to say why in words its viewers may read. The text of any other exception stays
    on the server, because it may hold what viewers must not see; they are told its type.
    """
