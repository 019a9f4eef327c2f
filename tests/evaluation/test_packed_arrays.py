import base64
import json
import zlib

import numpy as np
import pytest

from mmavs.evaluation.packed_arrays import pack_arrays, unpack_arrays


def test_arrays_survive_json_bit_by_bit():
    arrays = dict(curve=np.random.default_rng(0).random((3, 255)), counts=np.array([1, 2**53, -7]),
                  odd=np.array([np.nan, np.inf, -0.0, 5e-324]), none=np.zeros((0, 4)),
                  turned=np.arange(6.0).reshape(2, 3).T)
    back = unpack_arrays(json.loads(json.dumps(pack_arrays(arrays), allow_nan=False)))
    assert list(back) == list(arrays)
    for name, array in arrays.items():
        assert back[name].dtype == np.float64
        assert back[name].shape == array.shape
        assert back[name].tobytes() == np.ascontiguousarray(array, np.float64).tobytes()


def test_counts_take_little_room():
    counts = np.full((740, 255), 50176.0)
    assert len(json.dumps(pack_arrays(dict(counts=counts)))) < counts.nbytes / 300


def packed(data, shape=(2, )):
    return dict(x=dict(shape=shape, data=base64.b64encode(data).decode()))


@pytest.mark.parametrize('broken', [
    dict(x=[1.0, 2.0]), dict(x=dict(shape=[2])), dict(x=dict(shape=['two'], data='')),
    dict(x=dict(shape=[2], data='?')), packed(b'not zlib'), packed(zlib.compress(b'too short')),
    packed(zlib.compress(bytes(10**7))), packed(zlib.compress(bytes(16)), shape=[-2]),
], ids=['list', 'no data', 'words', 'no base64', 'no zlib', 'short', 'bomb', 'negative'])
def test_other_content_is_refused(broken):
    with pytest.raises(ValueError, match="'x' is no packed array"):
        unpack_arrays(broken)
