// One sound at a time: the page's only <audio>, the clip it belongs to, and everybody who wants to follow it.

const audio = document.getElementById('audio');
const player = {clip: null, followers: new Set()};

function isPlaying(clip) {
  return player.clip === clip && !audio.paused;
}

function load(clip) {
  if (player.clip === clip) return;
  audio.pause();
  player.clip = clip;
  audio.src = mediaFile(clip, 'sound.wav');
}

function togglePlay(clip) {
  if (!clip.media?.sound) return;
  if (isPlaying(clip)) { audio.pause(); return; }
  load(clip);
  if (audio.ended) audio.currentTime = 0;
  audio.play().catch(follow);
}

// Part: 0 to 1 of the spectrogram, which covers 0.96 s for each frame.
function playFrom(clip, part) {
  if (!clip.media?.sound) return;
  load(clip);
  const seek = () => { audio.currentTime = part * clip.media.count * DATA.exampleSeconds; };
  if (audio.readyState >= 1) seek(); else audio.addEventListener('loadedmetadata', seek, {once: true});
  audio.play().catch(follow);
}

function stop() {
  audio.pause();
}

function playedPart(clip) {
  if (player.clip !== clip) return 0;
  return Math.min(1, audio.currentTime / (clip.media.count * DATA.exampleSeconds));
}

function follow() {
  for (const follower of player.followers) follower();
}

function followFrames() {
  follow();
  if (!audio.paused) requestAnimationFrame(followFrames);
}

audio.addEventListener('play', () => requestAnimationFrame(followFrames));
for (const name of ['pause', 'ended', 'seeked', 'error']) audio.addEventListener(name, follow);

// A spectrogram that shows and sets the play-head; the button plays. Returns a function that shows the present state.
function connectSound(clip, button, box) {
  const head = element('i', {className: 'play-head'});
  if (clip.media?.logMel) {
    box.append(element('img', {src: mediaFile(clip, 'log_mel.jpg'), alt: 'log-mel spectrogram', decoding: 'async',
      draggable: false}));
  }
  box.append(head);
  const possible = Boolean(clip.media?.sound);
  button.disabled = !possible;
  button.title = possible ? 'Play (Space)' : 'This clip has no sound file';
  box.classList.toggle('playable', possible);
  button.onclick = () => togglePlay(clip);
  box.onclick = event => {
    const area = box.getBoundingClientRect();
    playFrom(clip, Math.max(0, Math.min(0.999, (event.clientX - area.left) / area.width)));
  };
  const show = () => {
    const playing = isPlaying(clip), part = playedPart(clip);
    button.classList.toggle('playing', playing);
    button.setAttribute('aria-label', playing ? 'Pause' : `Play ${clip.id}`);
    head.hidden = !playing && part === 0;
    head.style.left = `${100 * part}%`;
  };
  show();
  return show;
}
