// How the clips spread over the score; a bar is also a filter.

const histogram = document.getElementById('histogram');

function drawHistogram() {
  const counts = new Array(BINS).fill(0);
  for (const clip of CLIPS) if (clip[state.metric] !== null && fitsFilters(clip)) counts[binOf(clip[state.metric])] += 1;
  const highest = Math.max(1, ...counts);
  histogram.replaceChildren(...counts.map((count, bin) => {
    const from = bin * 100 / BINS, to = (bin + 1) * 100 / BINS;
    const bar = element('button', {type: 'button', title: `${state.metric} ${from}–${to}: ${count} clips`,
      'aria-label': `${state.metric} ${from} to ${to}: ${count} clips`, 'aria-pressed': String(state.bin === String(bin)),
      disabled: count === 0 && state.bin !== String(bin)}, element('i'), element('span', {textContent: count || ''}));
    bar.dataset.bin = bin;
    bar.style.setProperty('--part', count / highest);
    return bar;
  }));
  histogram.classList.toggle('filtered', state.bin !== '');
  document.getElementById('histogram-note').textContent = histogramNote();
  for (const button of document.querySelectorAll('[data-metric]')) {
    button.setAttribute('aria-pressed', String(button.dataset.metric === state.metric));
  }
}

function histogramNote() {
  if (state.bin !== '') {
    const from = Number(state.bin) * 100 / BINS;
    return `Only clips with ${state.metric} from ${from} to ${from + 100 / BINS} are shown; choose the bar again for all.`;
  }
  const values = CLIPS.filter(fitsFilters).map(clip => clip[state.metric]).filter(value => value !== null);
  if (!values.length) return 'No clip has this score.';
  values.sort((a, b) => a - b);
  const middle = values.length >> 1;
  const median = values.length % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  return `Median ${percent(median)} of ${values.length} clips. Choose a bar to see its clips only.`;
}

histogram.addEventListener('click', event => {
  const bar = event.target.closest('button');
  if (!bar) return;
  change({bin: state.bin === bar.dataset.bin ? '' : bar.dataset.bin});
  histogram.children[Number(bar.dataset.bin)].focus();
});
document.querySelector('.segments').addEventListener('click', event => {
  const metric = event.target.dataset.metric;
  if (metric) change({metric, bin: ''});
});
