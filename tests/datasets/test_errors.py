import pytest
from torch._utils import ExceptionWrapper

from mmavs.datasets.errors import ClipDataError, DataFileError

SENTENCE = "Clip 'a: b' (ms3, train) cannot be loaded: /data/ValueError: x.png is empty (0 bytes). Restore the file."


def test_both_are_value_errors_and_a_clip_error_is_a_file_error():
    assert issubclass(DataFileError, ValueError)
    assert issubclass(ClipDataError, DataFileError)


def test_the_sentence_is_kept():
    assert str(ClipDataError(SENTENCE)) == SENTENCE
    assert str(ClipDataError(f'  {SENTENCE}\n')) == SENTENCE


def test_what_a_worker_hands_on_is_the_sentence_alone():
    try:
        raise ClipDataError(SENTENCE)
    except ClipDataError:
        wrapped = ExceptionWrapper(where='in DataLoader worker process 3')
    assert 'Traceback' in wrapped.exc_msg
    with pytest.raises(ClipDataError) as caught:
        wrapped.reraise()
    assert str(caught.value) == SENTENCE


def test_passing_through_two_workers_changes_nothing():
    message = f'Caught ClipDataError in process 0.\nTraceback:\n  mmavs.datasets.errors.ClipDataError: {SENTENCE}\n'
    outer = f'Caught ClipDataError in process 1.\nTraceback:\n{message}\nClipDataError: {SENTENCE}'
    assert str(ClipDataError(outer)) == SENTENCE
