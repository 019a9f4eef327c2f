"""Errors about files of a data set. The messages name the file, what was found there and, by the dataset, the clip."""


class DataFileError(ValueError):
    """A file of a data set is missing, cannot be read, or does not hold what it should."""


class ClipDataError(DataFileError):
    """A clip cannot be loaded; the message names the clip and the file.

    torch hands the error of a loading worker on as a text that begins with the worker's stack and builds it again from
    that; what is kept of it is the sentence.

    Args:
        message (str): The sentence.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message.rpartition(f'{type(self).__name__}: ')[2].strip())
