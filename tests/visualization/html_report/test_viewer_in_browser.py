"""Sounds and the full-size view as a reader uses them, in headless Chromium with real clicks and keys."""

import re

import pytest

from .samples import best, choose
from .webdriver import missing_browser

pytestmark = pytest.mark.skipif(missing_browser() is not None, reason=str(missing_browser()))


def test_full_size_view_by_click_and_keys(browser, clips):
    order = best(clips, 'J', number=60)
    browser.click('.card:nth-child(2) .picture')
    assert browser.run("return document.getElementById('viewer').open")
    assert browser.texts('#viewer-title') == [order[1]]
    assert browser.texts('#viewer-place') == ['2 of 60']
    assert browser.texts('#stage figcaption') == ['frame', 'truth', 'prediction', 'errors']
    # The click was in the middle of three columns.
    assert shown_frame(browser) == 2
    browser.press('left')
    assert shown_frame(browser) == 1
    places = browser.run("return [...document.querySelectorAll('.layer')].map(e => e.style.backgroundPosition)")
    assert [place.split()[0] for place in places] == ['0%'] * 4
    assert [float(place.split()[1][:-1]) for place in places] == pytest.approx([0, 100 / 3, 200 / 3, 100], abs=0.01)
    browser.press('down')
    assert browser.texts('#viewer-title') == [order[2]]
    browser.press('3')
    assert visible_layers(browser) == ['prediction']
    browser.click('#stage figure:nth-child(3) button')
    assert len(visible_layers(browser)) == 4
    browser.press('escape')
    assert not browser.run("return document.getElementById('viewer').open")
    assert browser.run("return document.activeElement.getAttribute('aria-label')") == f'Open {order[2]} in full size'


def shown_frame(browser):
    return browser.run("return 1 + [...document.querySelectorAll('#seconds button')].findIndex("
                       "button => button.getAttribute('aria-current') === 'true')")


def visible_layers(browser):
    return browser.run("return [...document.querySelectorAll('#stage figure')].filter(e => e.checkVisibility())"
                       '.map(e => e.textContent)')


def test_sound_leads_through_the_frames_of_the_view(browser):
    browser.run("document.querySelector('.card .picture').focus()")
    browser.press('enter')
    assert shown_frame(browser) == 1
    browser.press('space')
    assert browser.wait("return document.querySelector('#seconds button:nth-child(2)[aria-current=true]')")
    assert 0.9 < browser.run("return document.getElementById('audio').currentTime") <= 3
    browser.click('#viewer-close')
    assert browser.run("return document.getElementById('audio').paused")


def test_pictures_of_the_view_are_as_large_as_fits(browser):
    browser.click('.card .picture')
    box = browser.run("const a = document.getElementById('stage').getBoundingClientRect();"
                      "return [a.width, a.height, ...[...document.querySelectorAll('.layer')].flatMap(e => {"
                      'const b = e.getBoundingClientRect(); return [b.width, b.height]; })]')
    width, height, *sizes = box
    assert len(set(sizes)) == 1, 'square frames stay square'
    # Four in a row or two by two, whichever is larger; 12 px between them, captions of 26 px.
    in_a_row, two_by_two = min((width - 36) / 4, height - 26), min((width - 12) / 2, (height - 12) / 2 - 26)
    assert sizes[0] == pytest.approx(max(in_a_row, two_by_two), abs=1)


def test_address_keeps_the_view(browser, folder, clips):
    choose(browser, '#category', 'dog')
    choose(browser, '#sort', 'F')
    browser.click('.card:nth-child(3) .picture')
    fragment = browser.run('return location.hash')
    title = browser.texts('#viewer-title')
    browser.open(folder / 'index.html', fragment)
    assert browser.texts('#viewer-title') == title
    assert browser.run("return document.getElementById('viewer').open")
    assert browser.texts('#count') == ['30 of 60']
    assert shown_frame(browser) == 2


def test_play_moves_the_play_head_and_only_one_clip_sounds(browser):
    assert browser.run("return document.getElementById('audio').src") == ''
    browser.click('.card:nth-child(1) .play')
    assert browser.wait("return document.getElementById('audio').currentTime > 0.1")
    first = browser.run("return document.getElementById('audio').src")
    assert re.search(r'/media/clip_000-\w{8}/sound\.wav$', first)
    assert browser.wait("return parseFloat(document.querySelector('.card:nth-child(1) .play-head').style.left) > 0")
    browser.click('.card:nth-child(2) .play')
    assert browser.wait("return document.getElementById('audio').currentTime > 0.1")
    assert browser.run("return document.getElementById('audio').src") != first
    assert browser.wait("return document.querySelectorAll('.playing').length === 1")
    browser.click('.card:nth-child(2) .play')
    assert browser.run("return document.getElementById('audio').paused")
    # The page learns of the pause by an event, which comes later.
    assert browser.wait("return document.querySelectorAll('.playing').length === 0")


def test_click_in_the_spectrogram_plays_from_there(browser):
    browser.click('.card .sound')
    # The middle of 3 examples of 0.96 s.
    state = browser.wait("const a = document.getElementById('audio');"
                         'return a.readyState >= 2 && !a.seeking && a.currentTime > 0 && [a.currentTime]')
    assert 1.43 < state[0] < 2.5
