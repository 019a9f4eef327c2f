"""Errors about files of a data set. The messages name the file, what was found there and, by the dataset, the clip."""


class DataFileError(ValueError):
    """A file of a data set is missing, cannot be read, or does not hold what it should."""


class ClipDataError(DataFileError):
    """A clip cannot be loaded; the message names the clip and the file."""
