// Which clips are shown, and in which order. The state lives in the address, so a view can be kept as a bookmark.
//
// A clip of the data: {id, category, J, F, silent, frames: [{index, J, silent}], media}, percent or null;
// media: {folder, count, width, height, layers, logMel, sound, classes: {name: colour}} or null.

const DATA = JSON.parse(document.getElementById('data').textContent);
const CLIPS = DATA.clips.map((clip, index) => ({...clip, index}));
const BINS = 20;
const DEFAULTS = {q: '', category: '', silence: '', sort: 'J', order: 'asc', metric: 'J', bin: '', page: '1', size: '24',
  clip: '', frame: ''};
const state = {...DEFAULTS};
let selected = CLIPS;

function readAddress() {
  const values = new URLSearchParams(location.hash.slice(1));
  for (const key of Object.keys(DEFAULTS)) state[key] = values.get(key) ?? DEFAULTS[key];
  if (!['J', 'F', 'category', 'id', 'index'].includes(state.sort)) state.sort = DEFAULTS.sort;
  if (state.metric !== 'F') state.metric = 'J';
  if (!['12', '24', '48', '96'].includes(state.size)) state.size = DEFAULTS.size;
}

function writeAddress() {
  const values = new URLSearchParams();
  for (const [key, value] of Object.entries(state)) if (value !== DEFAULTS[key]) values.set(key, value);
  history.replaceState(null, '', '#' + values);
}

function binOf(value) {
  return Math.max(0, Math.min(BINS - 1, Math.floor(value / 100 * BINS)));
}

function labels(clip) {
  return [clip.category, ...Object.keys(clip.media?.classes ?? {})].filter(label => label !== null);
}

// The histogram counts what all filters but its own let through.
function fitsFilters(clip) {
  if (state.q && !clip.id.toLowerCase().includes(state.q.toLowerCase())) return false;
  if (state.category && !labels(clip).includes(state.category)) return false;
  return !state.silence || clip.silent === (state.silence === 'silent');
}

function fitsBin(clip) {
  return state.bin === '' || (clip[state.metric] !== null && binOf(clip[state.metric]) === Number(state.bin));
}

function compare(first, second) {
  const [a, b] = [first[state.sort], second[state.sort]];
  const sign = state.order === 'desc' ? -1 : 1;
  // Clips without a value come last in both orders.
  if (a === null || b === null) return (a === null) - (b === null) || first.index - second.index;
  const order = typeof a === 'string' ? a.localeCompare(b, 'en') : a - b;
  return sign * order || first.index - second.index;
}

function select() {
  selected = CLIPS.filter(clip => fitsFilters(clip) && fitsBin(clip)).sort(compare);
}

function pageCount() {
  return Math.max(1, Math.ceil(selected.length / Number(state.size)));
}

function element(name, properties = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in node) node[key] = value; else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

// Category and classes of a clip, the classes with the colour of their masks.
function labelList(clip) {
  return labels(clip).map(name => {
    const colour = clip.media?.classes[name];
    const dot = element('i', {className: 'dot'});
    if (colour) dot.style.background = colour;
    return element('span', {}, ...(colour ? [dot] : []), name);
  });
}

function mediaFile(clip, name) {
  return `${DATA.mediaFolder}/${clip.media.folder}/${name}`;
}

function percent(value, digits = 1) {
  return value === null || value === undefined ? '–' : value.toFixed(digits);
}

// What is known about the frame of this index in the clip: a text and J, or null where it has no label.
function frameValue(clip, index) {
  const frame = clip.frames.find(item => item.index === index);
  if (!frame) return {text: 'no label', J: null};
  return {text: percent(frame.J, 0), J: frame.J, silent: frame.silent};
}
