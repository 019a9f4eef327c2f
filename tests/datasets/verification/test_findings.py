import json

import pytest

from mmavs.datasets.verification import Finding, Report


@pytest.fixture
def report() -> Report:
    found = Report('s4', 'folder')
    for kind in ('a', 'b', 'b'):
        found.add('error', kind, f'message of {kind}', clip='c')
    found.add('info', 'z', 'note')
    return found


def test_findings_by_kind_most_frequent_first(report):
    assert list(report.by_kind('error')) == ['b', 'a']
    assert [len(findings) for findings in report.by_kind('error').values()] == [2, 1]
    assert report.by_kind('warning') == {}


def test_levels_are_counted(report):
    assert (report.count('error'), report.count('warning'), report.count('info')) == (3, 0, 1)


def test_findings_keep_their_order(report):
    assert report.findings[0] == Finding('error', 'a', 'message of a', 'c')
    assert [finding.kind for finding in report.findings] == ['a', 'b', 'b', 'z']
    assert report.findings[3].clip is None


def test_as_json(report):
    report.splits['train'] = dict(clips=3)
    found = json.loads(json.dumps(report.as_dict()))
    assert (found['subset'], found['folder'], found['splits']) == ('s4', 'folder', {'train': {'clips': 3}})
    assert found['findings'][3] == dict(level='info', kind='z', message='note', clip=None)
