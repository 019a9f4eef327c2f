// Ties the controls to the state and draws the page.

const control = id => document.getElementById(id);

// Every change goes through here: a filter or an order leads back to the first page.
function change(values) {
  Object.assign(state, {page: '1'}, values);
  draw();
}

function draw() {
  select();
  drawHistogram();
  drawCards();
  control('count').textContent = selected.length === CLIPS.length ? `${CLIPS.length}`
    : `${selected.length} of ${CLIPS.length}`;
  control('nothing').hidden = selected.length > 0;
  control('page-number').textContent = `${state.page} of ${pageCount()}`;
  control('previous-page').disabled = state.page === '1';
  control('next-page').disabled = Number(state.page) === pageCount();
  control('order').textContent = state.order === 'asc' ? '↑' : '↓';
  control('order').setAttribute('aria-label', `Order: ${state.order === 'asc' ? 'ascending' : 'descending'}`);
  control('reset').hidden = !(state.q || state.category || state.silence || state.bin !== '');
  for (const [id, key] of FIELDS) if (control(id).value !== state[key]) control(id).value = state[key];
  for (const button of document.querySelectorAll('[data-category]')) {
    button.setAttribute('aria-pressed', String(button.dataset.category === state.category));
  }
  writeAddress();
}

function turnPage(step) {
  const page = Number(state.page) + step;
  if (page < 1 || page > pageCount()) return;
  change({page: String(page)});
  document.querySelector('.toolbar').scrollIntoView();
}

// After the viewer: the page with the last clip that was looked at, which gets the focus.
function revealClip(clip) {
  const at = selected.indexOf(clip);
  const page = String(Math.floor(at / Number(state.size)) + 1);
  if (at >= 0 && page !== state.page) change({page});
  cards.querySelector(`[data-index="${clip.index}"] .picture`)?.focus();
}

function fillCategories() {
  const found = [...new Set(CLIPS.flatMap(labels))].sort((a, b) => a.localeCompare(b, 'en'));
  control('category').append(...found.map(name => element('option', {value: name, textContent: name})));
  control('category').closest('label').hidden = !found.length;
  control('silence').closest('label').hidden = !CLIPS.some(clip => clip.silent);
  for (const button of document.querySelectorAll('[data-category]')) {
    button.disabled = !found.includes(button.dataset.category);
    button.onclick = () => {
      change({category: state.category === button.dataset.category ? '' : button.dataset.category});
    };
  }
}

function viewerKey(event) {
  const actions = {ArrowLeft: () => stepFrame(-1), ArrowRight: () => stepFrame(1), ArrowUp: () => stepClip(-1),
    ArrowDown: () => stepClip(1), ' ': () => togglePlay(view.clip)};
  const layers = view.clip.media?.layers.length ?? 0;
  const action = actions[event.key]
    ?? (Number(event.key) >= 1 && Number(event.key) <= layers ? () => toggleSolo(Number(event.key) - 1) : null);
  if (!action) return;
  event.preventDefault();
  action();
}

function pageKey(event) {
  if (event.target.matches('input, select')) {
    if (event.key === 'Escape') event.target.blur();
    return;
  }
  const card = event.target.closest('.card');
  if (event.key === '/') { event.preventDefault(); control('query').focus(); }
  else if (event.key === 'n') turnPage(1);
  else if (event.key === 'p') turnPage(-1);
  else if (event.key.startsWith('Arrow') && card) { event.preventDefault(); moveFocus(event.key); }
  else if (event.key === ' ' && event.target.matches('.picture')) {
    event.preventDefault();
    togglePlay(CLIPS[Number(card.dataset.index)]);
  }
}

const FIELDS = [['query', 'q'], ['category', 'category'], ['silence', 'silence'], ['sort', 'sort'], ['page-size', 'size']];
for (const [id, key] of FIELDS) {
  const name = id === 'query' ? 'input' : 'change';
  control(id).addEventListener(name, event => change({[key]: event.target.value}));
}
control('order').onclick = () => change({order: state.order === 'asc' ? 'desc' : 'asc'});
control('reset').onclick = () => change({q: '', category: '', silence: '', bin: ''});
control('previous-page').onclick = () => turnPage(-1);
control('next-page').onclick = () => turnPage(1);
document.addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  (viewer.open ? viewerKey : pageKey)(event);
});

function start() {
  readAddress();
  const {clip: id, frame} = state;
  draw();
  const clip = CLIPS.find(item => item.id === id);
  if (clip) openViewer(clip, Math.max(0, Number(frame) || 0));
}

fillCategories();
start();
