// The full-size view of one clip: all layers of one frame, a time line, and the sound, which moves the frame along.

const viewer = document.getElementById('viewer');
const stage = document.getElementById('stage');
const view = {clip: null, frame: 0, solo: null, show: () => {}};

function openViewer(clip, frame = 0) {
  view.solo = null;
  showClip(clip, frame);
  if (!viewer.open) viewer.showModal();
  layOut();
}

function showClip(clip, frame = 0) {
  if (player.clip !== clip) stop();
  view.clip = clip;
  text('viewer-title', clip.id);
  document.getElementById('viewer-labels').replaceChildren(...labelList(clip));
  text('viewer-j', percent(clip.J));
  text('viewer-f', percent(clip.F));
  const place = selected.indexOf(clip);
  text('viewer-place', place < 0 ? '' : `${place + 1} of ${selected.length}`);
  drawStage();
  drawTimeline();
  showFrame(Math.min(frame, (clip.media?.count ?? 1) - 1));
  layOut();
}

function text(id, value) {
  document.getElementById(id).textContent = value;
}

function drawStage() {
  const {clip} = view;
  const file = document.getElementById('viewer-file');
  file.hidden = !clip.media;
  if (!clip.media) { stage.replaceChildren(element('p', {textContent: 'No pictures of this clip were written.'})); return; }
  file.href = mediaFile(clip, 'frames.jpg');
  const {layers, count} = clip.media;
  stage.replaceChildren(...layers.map((name, row) => {
    const picture = element('div', {className: 'layer', role: 'img'});
    picture.style.backgroundImage = `url("${mediaFile(clip, 'frames.jpg')}")`;
    picture.style.backgroundSize = `${100 * count}% ${100 * layers.length}%`;
    const button = element('button', {type: 'button', title: `This layer only (${row + 1})`}, picture);
    button.onclick = () => toggleSolo(row);
    return element('figure', {}, button, element('figcaption', {textContent: name}));
  }));
}

function drawTimeline() {
  const {clip} = view;
  const count = clip.media?.count ?? 0;
  const seconds = document.getElementById('seconds');
  document.getElementById('timeline').style.setProperty('--columns', count);
  seconds.replaceChildren(...Array.from({length: count}, (_, index) => {
    const value = frameValue(clip, index);
    const button = element('button', {type: 'button', 'aria-label': `Frame ${index + 1}, J ${value.text}`},
      element('b', {textContent: index + 1}),
      element('span', {textContent: value.J === null ? value.text : `J ${value.text}${value.silent ? ' silent' : ''}`}));
    button.onclick = () => showFrame(index);
    return button;
  }));
  const box = document.getElementById('viewer-sound');
  box.replaceChildren();
  const show = connectSound(clip, document.getElementById('viewer-play'), box);
  player.followers.delete(view.show);
  view.show = () => {
    show();
    if (isPlaying(clip)) showFrame(Math.min(count - 1, Math.floor(playedPart(clip) * count)));
  };
  player.followers.add(view.show);
}

function showFrame(index) {
  const {clip} = view;
  view.frame = index;
  Object.assign(state, {clip: clip.id, frame: index ? String(index) : ''});
  if (!clip.media) { writeAddress(); return; }
  const {count, layers} = clip.media;
  [...stage.querySelectorAll('.layer')].forEach((picture, row) => {
    picture.style.backgroundPosition = `${share(index, count)}% ${share(row, layers.length)}%`;
    picture.setAttribute('aria-label', `${layers[row]} of frame ${index + 1}`);
  });
  const buttons = document.getElementById('seconds').children;
  if (buttons[index].getAttribute('aria-current') === 'true') return;
  [...buttons].forEach((button, at) => button.setAttribute('aria-current', String(at === index)));
  writeAddress();
}

function share(index, count) {
  return count > 1 ? 100 * index / (count - 1) : 0;
}

function toggleSolo(row) {
  view.solo = view.solo === row ? null : row;
  layOut();
}

// As many columns as make the pictures largest.
function layOut() {
  if (!view.clip?.media || !viewer.open) return;
  const {width, height} = view.clip.media;
  const figures = [...stage.querySelectorAll('figure')];
  figures.forEach((figure, row) => { figure.hidden = view.solo !== null && view.solo !== row; });
  const number = view.solo === null ? figures.length : 1;
  const gap = 12, caption = 26, room = stage.getBoundingClientRect();
  const sizes = [1, 2, 3, 4].filter(columns => columns <= number).map(columns => {
    const rows = Math.ceil(number / columns);
    const across = (room.width - gap * (columns - 1)) / columns;
    const down = (room.height - gap * (rows - 1)) / rows - caption;
    return {columns, picture: Math.max(60, Math.min(across, down * width / height))};
  });
  const best = sizes.reduce((a, b) => (b.picture > a.picture ? b : a));
  stage.style.gridTemplateColumns = `repeat(${best.columns}, ${best.picture}px)`;
  stage.style.setProperty('--ratio', `${width} / ${height}`);
}

function stepClip(step) {
  const next = selected[selected.indexOf(view.clip) + step];
  if (next) showClip(next, 0);
}

function stepFrame(step) {
  const count = view.clip.media?.count ?? 1;
  stop();
  showFrame(Math.max(0, Math.min(count - 1, view.frame + step)));
}

viewer.addEventListener('close', () => {
  stop();
  player.followers.delete(view.show);
  Object.assign(state, {clip: '', frame: ''});
  writeAddress();
  revealClip(view.clip);
});
viewer.addEventListener('click', event => { if (event.target === viewer) viewer.close(); });
document.getElementById('viewer-close').onclick = () => viewer.close();
document.getElementById('viewer-previous').onclick = () => stepClip(-1);
document.getElementById('viewer-next').onclick = () => stepClip(1);
addEventListener('resize', layOut);
