"""As many clips as the largest test split that is shown clip by clip, S4's 740, without choking a browser."""

import pytest

from .samples import best, choose, ids, write_many
from .webdriver import Browser, missing_browser

pytestmark = pytest.mark.skipif(missing_browser() is not None, reason=str(missing_browser()))
NUMBER = 740


def test_740_clips_open_sort_filter_and_turn_pages(tmp_path):
    clips = write_many(tmp_path, NUMBER, seconds=0)
    assert (tmp_path / 'index.html').stat().st_size < 600_000
    with Browser() as browser:
        browser.open(tmp_path / 'index.html')
        assert browser.texts('#count') == ['740']
        assert ids(browser) == best(clips, 'J')
        # Only the cards of one page are there, 24 of them: about as many elements as for 60 clips.
        assert browser.run("return document.querySelectorAll('*').length") < 1000
        # Far above what it takes (0.4 s and 0.1 s), far below what a reader would call choking.
        assert browser.run("return performance.getEntriesByType('navigation')[0].loadEventEnd") < 8000
        assert browser.run("""
            const sort = document.getElementById('sort');
            const begin = performance.now();
            sort.value = 'F';
            sort.dispatchEvent(new Event('change', {bubbles: true}));
            return performance.now() - begin""") < 2000
        assert ids(browser) == best(clips, 'F')
        browser.click('#order')
        assert ids(browser) == best(clips, 'F', reverse=True)
        choose(browser, '#category', 'dog')
        assert browser.texts('#count') == ['370 of 740']
        browser.type('#query', 'clip_73')
        assert sorted(ids(browser)) == [f'clip_73{digit}' for digit in range(1, 10, 2)]
        browser.click('#reset')
        assert sum(int(text or 0) for text in browser.texts('#histogram span')) == NUMBER
        browser.click('#page-size option:last-child')
        assert browser.texts('#page-number') == ['1 of 8']
        # The most cards of a page.
        assert browser.run("return document.querySelectorAll('.card').length") == 96
        assert [entry for entry in browser.log() if entry['level'] == 'SEVERE'] == []
