"use strict";
// Shows a channel in the page, and keeps the page up to date. The page is whole without this.
const player = document.getElementById("player");
const video = document.getElementById("video");
const watching = document.getElementById("watching");
let channel = null;
let retry = 0;

// Native HLS where the browser has it, else one endless file.
function source(number) {
  const hls = video.canPlayType("application/vnd.apple.mpegurl");
  return hls ? `/ch/${number}/index.m3u8` : `/ch/${number}.mp4`;
}

function play() {
  video.src = source(channel);
  video.play().catch(() => { /* The person presses play. */ });
}

function watch(link) {
  channel = link.dataset.channel;
  player.hidden = false;
  watching.textContent = link.getAttribute("aria-label").replace(/^Watch/, "Watching");
  play();
  video.focus();
}

// A stream ends where other parameters begin, and with its server: it is asked for anew.
function again() {
  if (channel === null) return;
  clearTimeout(retry);
  retry = setTimeout(play, 1000);
}
video.addEventListener("ended", again);
video.addEventListener("error", again);

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-channel]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  watch(link);
});

async function refresh() {
  if (document.hidden) return;
  try {
    const answer = await fetch("/", { signal: AbortSignal.timeout(5000) });
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const [now, then] = [document, fresh].map((d) => d.getElementById("live"));
    // Whoever stands on a link stays there.
    const focus = document.activeElement?.dataset?.channel;
    if (then) now.replaceChildren(...then.childNodes);
    if (focus) now.querySelector(`a[data-channel="${CSS.escape(focus)}"]`)?.focus();
  } catch { /* The server is away: what was known stays. */ }
}
setInterval(refresh, 5000);
