// One page of clips as cards. Only these are in the document, so the number of clips does not slow the page down.

const cards = document.getElementById('cards');
let shown = [];

function drawCards() {
  for (const card of shown) player.followers.delete(card.show);
  const size = Number(state.size);
  const page = Math.max(1, Math.min(pageCount(), Number(state.page) || 1));
  state.page = String(page);
  shown = selected.slice((page - 1) * size, page * size).map(makeCard);
  cards.replaceChildren(...shown.map(card => card.node));
  const widest = Math.max(5, ...shown.map(card => card.clip.media?.count ?? 0));
  cards.style.setProperty('--card', `${Math.min(700, 96 + 58 * widest)}px`);
  for (const card of shown) player.followers.add(card.show);
}

function makeCard(clip) {
  const node = element('article', {className: 'card'}, cardHead(clip));
  node.dataset.index = clip.index;
  if (!clip.media) {
    node.append(element('p', {className: 'faint', textContent: 'No pictures of this clip were written.'}));
    return {clip, node, show: () => {}};
  }
  const {count, layers} = clip.media;
  const sheet = element('div', {className: 'sheet'});
  sheet.style.setProperty('--columns', count);
  sheet.style.setProperty('--rows', layers.length);
  const button = element('button', {type: 'button', className: 'play'});
  const box = element('div', {className: 'sound'});
  sheet.append(element('div', {className: 'layers'}, ...layers.map(name => element('span', {textContent: name}))),
    openButton(clip), element('span', {className: 'gutter-label', textContent: 'J'}), frameValues(clip), button, box);
  node.append(sheet);
  return {clip, node, show: connectSound(clip, button, box)};
}

function cardHead(clip) {
  const head = element('header', {}, element('h3', {textContent: clip.id, title: clip.id}));
  for (const name of ['J', 'F']) {
    head.append(element('span', {className: 'score'}, element('b', {textContent: name}),
      element('span', {textContent: percent(clip[name])})));
  }
  const names = labels(clip);
  if (names.length) {
    head.append(element('p', {className: 'labels faint', title: names.join(', ')}, ...labelList(clip)));
  }
  return head;
}

function openButton(clip) {
  const {count, width, height, layers} = clip.media;
  const picture = element('img', {loading: 'lazy', decoding: 'async', src: mediaFile(clip, 'thumbnails.jpg'),
    width: width * count, height: height * layers.length, alt: `${layers.join(', ')} of ${count} frames`});
  const button = element('button', {type: 'button', className: 'picture', 'aria-label': `Open ${clip.id} in full size`},
    picture);
  button.onclick = event => {
    const area = button.getBoundingClientRect();
    // A click by the keyboard has no place.
    const part = event.detail ? (event.clientX - area.left) / area.width : 0;
    openViewer(clip, Math.max(0, Math.min(count - 1, Math.floor(part * count))));
  };
  return button;
}

function frameValues(clip) {
  const cells = Array.from({length: clip.media.count}, (_, index) => {
    const {text, J, silent} = frameValue(clip, index);
    const cell = element('span', {textContent: J === null ? '·' : text, title: silent ? `${text} (silent frame)` : text});
    if (silent) cell.className = 'silent';
    return cell;
  });
  return element('div', {className: 'values'}, ...cells);
}

function moveFocus(key) {
  const buttons = [...cards.querySelectorAll('.picture')];
  const at = buttons.indexOf(document.activeElement);
  if (at < 0) { buttons[0]?.focus(); return; }
  const top = buttons[at].getBoundingClientRect().top;
  const left = buttons[at].getBoundingClientRect().left;
  const sameColumn = button => Math.abs(button.getBoundingClientRect().left - left) < 4;
  const targets = {
    ArrowLeft: buttons[at - 1],
    ArrowRight: buttons[at + 1],
    ArrowUp: buttons.slice(0, at).reverse().find(sameColumn),
    ArrowDown: buttons.slice(at + 1).find(button => sameColumn(button) && button.getBoundingClientRect().top > top),
  };
  targets[key]?.focus();
}
