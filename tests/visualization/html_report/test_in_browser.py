"""The list of clips as a reader uses it: headless Chromium, opened from disk, with real clicks and keys."""

import json

import numpy as np
import pytest

from mmavs.visualization.html_report import write_clip_media, write_page

from .conftest import NUMBER
from .samples import ODD_ID, best, choose, ids, make_report, scored, write_clip
from .webdriver import Browser, missing_browser

pytestmark = pytest.mark.skipif(missing_browser() is not None, reason=str(missing_browser()))
DECODED = 'return [...document.images].slice(0, 6).every(image => image.complete && image.naturalWidth > 0)'


def test_worst_clips_come_first_with_their_pictures_and_values(browser, clips):
    assert ids(browser) == best(clips, 'J')
    assert browser.texts('.card:first-child .score') == ['J0.0', 'F0.0']
    assert browser.texts('.card:first-child .values span') == ['-1', '1', '·']
    assert browser.texts('#count') == ['60']
    browser.run("document.getElementById('cards').scrollIntoView()")
    assert browser.wait(DECODED)


def test_sorting_by_each_key_in_both_orders(browser, clips):
    browser.type('#sort', 'F')      # as by the keyboard; a click on an option the other times
    assert ids(browser) == best(clips, 'F')
    browser.click('#order')
    assert ids(browser) == best(clips, 'F', reverse=True)
    choose(browser, '#sort', 'id')
    assert ids(browser)[0] == 'clip_059'
    choose(browser, '#sort', 'category')
    assert set(browser.texts('.card .labels')) == {'dog'}
    browser.click('#order')
    assert set(browser.texts('.card .labels')) == {'cat'}


def test_filters_by_name_category_silence_and_their_reset(browser, clips):
    browser.type('#query', 'IP_01')
    assert sorted(ids(browser)) == [f'clip_01{digit}' for digit in range(10)]
    choose(browser, '#category', 'dog')
    assert sorted(ids(browser)) == [f'clip_01{digit}' for digit in range(1, 10, 2)]
    assert browser.texts('#count') == ['5 of 60']
    browser.click('#reset')
    assert browser.texts('#count') == ['60']
    choose(browser, '#silence', 'silent')
    assert ids(browser) == ['clip_005']
    choose(browser, '#silence', 'sounding')
    assert browser.texts('#count') == ['59 of 60']
    browser.type('#query', 'nothing has this name')
    assert ids(browser) == []
    assert browser.run("return document.getElementById('nothing').checkVisibility()")


def test_category_table_filters(browser):
    browser.click('button[data-category=dog]')
    assert browser.texts('#count') == ['30 of 60']
    assert browser.run("return document.getElementById('category').value") == 'dog'
    browser.click('button[data-category=dog]')
    assert browser.texts('#count') == ['60']


def test_histogram_counts_and_filters(browser, clips):
    counts = [sum(5 * part <= clip['J'] < 5 * part + 5 for clip in clips) for part in range(20)]
    assert [int(text or 0) for text in browser.texts('#histogram span')] == counts
    browser.click('#histogram [data-bin="3"]')
    assert ids(browser) == [name for name in best(clips, 'J', number=60)
                            if 15 <= clips[int(name[-3:])]['J'] < 20]
    # The histogram itself still shows all clips.
    assert [int(text or 0) for text in browser.texts('#histogram span')] == counts
    browser.click('.segments [data-metric=F]')
    assert browser.texts('#count') == ['60']
    assert sum(int(text or 0) for text in browser.texts('#histogram span')) == NUMBER


def test_pages_hold_24_clips_until_told_otherwise(browser, clips):
    order = best(clips, 'J', number=60)
    browser.click('#next-page')
    assert ids(browser) == order[24:48]
    browser.click('#next-page')
    assert ids(browser) == order[48:]
    assert browser.texts('#page-number') == ['3 of 3']
    browser.press('p')
    assert browser.texts('#page-number') == ['2 of 3']
    browser.click('#page-size option:last-child')
    assert ids(browser) == order


def test_number_of_elements_does_not_grow_with_the_number_of_clips(browser):
    browser.click('#page-size option:first-child')
    small = browser.run("return document.querySelectorAll('*').length")
    assert browser.run("return document.querySelectorAll('.card').length") == 12
    # Scores and controls beside 12 cards of T = 3 frames.
    assert small < 600


def test_arrow_keys_move_between_cards_and_slash_finds(browser, clips):
    order = best(clips, 'J')
    browser.run("document.querySelector('.card .picture').focus()")
    browser.press('right')
    assert focused(browser) == f'Open {order[1]} in full size'
    columns = browser.run("return getComputedStyle(document.getElementById('cards')).gridTemplateColumns"
                          ".split(' ').length")
    browser.press('down')
    assert focused(browser) == f'Open {order[1 + columns]} in full size'
    browser.press('up')
    browser.press('left')
    assert focused(browser) == f'Open {order[0]} in full size'
    browser.press('/')
    browser.press('7')
    assert browser.run("return document.getElementById('query').value") == '7'
    assert len(ids(browser)) == sum('7' in clip['video_id'] for clip in clips)


def focused(browser):
    return browser.run("return document.activeElement.getAttribute('aria-label')")


def test_only_files_are_asked_for(window, folder):
    window.log('performance')
    window.open(folder / 'index.html')
    window.run("document.getElementById('cards').scrollIntoView()")
    assert window.wait(DECODED)
    window.click('.card .play')
    assert window.wait("return document.getElementById('audio').currentTime > 0")
    events = [json.loads(entry['message'])['message'] for entry in window.log('performance')]
    urls = [event['params']['request']['url'] for event in events if event['method'] == 'Network.requestWillBeSent']
    assert sum(url.endswith('.jpg') for url in urls) >= 6
    assert [url for url in urls if not url.startswith(('file:', 'data:', 'about:'))] == []
    # Pictures below the window are not read yet: 24 cards have 48.
    assert sum('thumbnails.jpg' in url for url in urls) < 24


def test_odd_names_and_clips_without_files(window, tmp_path):
    clips = [scored(ODD_ID, 10.0, 20.0, '<i>"cat'), scored('lost', 30.0, 40.0)]
    clips[1]['F'] = None
    write_page(tmp_path, [make_report(clips)], [write_clip(tmp_path, ODD_ID, category='<i>"cat'),
                                                write_clip(tmp_path, 'unlabelled')], title='odd')
    window.open(tmp_path / 'index.html')
    assert ids(window) == [ODD_ID, 'lost', 'unlabelled']
    assert window.texts('.card:nth-child(2) .score') == ['J30.0', 'F\N{EN DASH}']
    assert window.texts('.card:nth-child(3) .values span') == ['·'] * 3
    assert window.run("return document.querySelector('.card .play').disabled"), 'this clip has no sound'
    window.click('#order')
    assert ids(window) == ['lost', ODD_ID, 'unlabelled'], 'clips without a value stay last'
    window.click('#order')
    window.click('.card .picture')
    assert window.texts('#viewer-title') == [ODD_ID]
    window.press('down')
    assert window.texts('#stage') == ['No pictures of this clip were written.']
    window.press('down')
    assert window.texts('#seconds span') == ['no label'] * 3
    assert window.run("return document.querySelectorAll('script').length") == 2


def test_classes_are_shown_with_the_colours_of_their_masks_and_filter(window, tmp_path):
    classes, palette = ('background', 'dog', 'guitar'), [(0, 0, 0), (200, 0, 0), (0, 0, 200)]
    media = []
    for index, name in enumerate(('v', 'w')):
        masks = np.full((1, 8, 8), index + 1, np.uint8)
        masks[0, 0] = 2
        media.append(write_clip_media(tmp_path, name, [np.zeros((8, 8, 3), np.uint8)], truth=masks, prediction=masks,
                                      category='v2', classes=classes, palette=palette))
    write_page(tmp_path, [], media, title='classes')
    window.open(tmp_path / 'index.html')
    assert window.texts('.card:first-child .labels span') == ['v2', 'dog', 'guitar']
    assert window.run("return [...document.querySelectorAll('.card:first-child .dot')].map(e => e.style.background)"
                      ) == ['rgb(200, 0, 0)', 'rgb(0, 0, 200)']
    assert not window.run("return document.getElementById('silence').checkVisibility()"), 'no clip is silent'
    choose(window, '#category', 'dog')
    assert ids(window) == ['v']


def test_contrast_of_text_in_both_colour_schemes(window, folder):
    """At least 4.5 : 1 (WCAG 2 AA) for ink, faint text and links on every ground they stand on."""
    for dark in (False, True):
        with Browser(dark=dark) as browser:
            browser.open(folder / 'index.html')
            assert browser.run("return matchMedia('(prefers-color-scheme: dark)').matches") is dark
            names = ['ink', 'faint', 'accent', 'paper', 'panel', 'soft', 'warn', 'warn-ink', 'on-accent']
            colours = dict(zip(names, browser.run(
                'const style = getComputedStyle(document.documentElement);'
                'return arguments[0].map(name => style.getPropertyValue("--" + name).trim())', names), strict=True))
            pairs = [(front, back) for front in ('ink', 'faint', 'accent') for back in ('paper', 'panel')]
            pairs += [('ink', 'soft'), ('faint', 'soft'), ('warn-ink', 'warn'), ('on-accent', 'accent')]
            for front, back in pairs:
                assert contrast(colours[front], colours[back]) >= 4.5, (dark, front, back)


def contrast(first, second):
    lighter, darker = sorted((luminance(first), luminance(second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour):
    channels = [int(colour[at:at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055)**2.4 for value in channels]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
