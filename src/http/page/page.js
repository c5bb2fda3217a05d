"use strict";
// Shows a channel in the page, and keeps the page up to date. The page is whole without this.
const player = document.getElementById("player");
const video = document.getElementById("video");
const watching = document.getElementById("watching");
// Seconds: behind what is on the air, kept of what is over, too far behind, between two looks.
const BEHIND = 4, KEPT = 30, LATE = 30, PAUSE = 1;
let channel = null;
let retry = 0;
let feed = null;

const Source = window.ManagedMediaSource || window.MediaSource;
const sleep = (seconds) => new Promise((done) => { setTimeout(done, seconds * 1000); });
const event = (on, name) => new Promise((done) => on.addEventListener(name, done, { once: true }));

// The beginning of an init segment as text, one letter a byte, and what its codecs are called.
function mediaType(init) {
  const text = String.fromCharCode(...new Uint8Array(init));
  const at = (box) => text.indexOf(box) + 4;
  const has = (box) => text.includes(box);
  const byte = (place) => text.charCodeAt(place);
  const hex = (...bytes) => bytes.map((b) => b.toString(16).padStart(2, "0")).join("");
  const two = (number) => String(number).padStart(2, "0");
  const codecs = [];
  if (has("avcC")) {
    const c = at("avcC");
    codecs.push(`avc1.${hex(byte(c + 1), byte(c + 2), byte(c + 3))}`);
  }
  if (has("hvcC")) {
    const c = at("hvcC"), profile = byte(c + 1);
    let compatible = 0;
    for (let bit = 0; bit < 32; bit++) {
      compatible = compatible * 2 + (byte(c + 5 - (bit >> 3)) >> (bit & 7) & 1);
    }
    const limits = [6, 7, 8, 9, 10, 11].map((n) => byte(c + n));
    while (limits.length && !limits.at(-1)) limits.pop();
    codecs.push([
      `${has("hev1") ? "hev1" : "hvc1"}.${["", "A", "B", "C"][profile >> 6]}${profile & 31}`,
      compatible.toString(16), `${profile & 32 ? "H" : "L"}${byte(c + 12)}`,
      ...limits.map((b) => b.toString(16)),
    ].join("."));
  }
  if (has("av1C")) {
    const c = at("av1C"), [one, other] = [byte(c + 1), byte(c + 2)];
    const depth = other & 64 ? (other & 32 ? 12 : 10) : 8;
    codecs.push(`av01.${one >> 5}.${two(one & 31)}${other & 128 ? "H" : "M"}.${two(depth)}`);
  }
  if (has("vpcC")) {
    const c = at("vpcC") + 4;
    codecs.push(`vp09.${two(byte(c))}.${two(byte(c + 1))}.${two(byte(c + 2) >> 4)}`);
  }
  if (has("esds")) {
    // An ES descriptor (3), in it a decoder's (4), whose lengths have one to four bytes.
    let place = at("esds") + 4;
    const into = () => { place++; while (byte(place++) & 128); };
    into();
    place += 3;
    into();
    const kind = byte(place);
    codecs.push(kind === 0x40 ? "mp4a.40.2" : `mp4a.${hex(kind)}`);
  }
  const sounds = { dOps: "opus", dfLa: "flac", dac3: "ac-3" };
  for (const box in sounds) if (has(box)) codecs.push(sounds[box]);
  return `video/mp4; codecs="${codecs.join(",")}"`;
}

// The segments of a playlist, each with the init segment that it needs.
function segments(text, base) {
  const found = [];
  let seq = 0, init = null, lasts = 0;
  for (const line of text.split("\n")) {
    const [tag, value] = line.startsWith("#") ? line.split(/:(.*)/) : ["", line];
    if (tag === "#EXT-X-MEDIA-SEQUENCE") seq = Number(value);
    if (tag === "#EXT-X-MAP") init = new URL(value.match(/"(.*)"/)[1], base).href;
    if (tag === "#EXTINF") lasts = parseFloat(value);
    if (!tag && value) found.push({ seq: seq++, init, lasts, url: new URL(value, base).href });
  }
  return found;
}

// HLS by Media Source: one buffer, whose clock is that of the segments.
class Feed {
  constructor(number) {
    this.playlist = new URL(`/ch/${number}/index.m3u8`, location).href;
    this.stop = new AbortController();
    this.source = new Source();
    this.url = URL.createObjectURL(this.source);
    this.seq = -1;
    this.init = null;
    this.type = null;
    this.buffer = null;
    this.opened = event(this.source, "sourceopen");
    video.disableRemotePlayback = true;
    video.src = this.url;
  }

  end() {
    this.stop.abort();
    URL.revokeObjectURL(this.url);
  }

  async get(url, kind) {
    const answer = await fetch(url, { signal: this.stop.signal });
    if (!answer.ok) throw new Error(`${url}: ${answer.status}`);
    return answer[kind]();
  }

  async run() {
    while (!this.stop.signal.aborted) {
      try {
        await this.follow();
      } catch (why) {
        // Whatever is wrong with the network passes.
        if (why instanceof DOMException) throw why;
      }
      await sleep(PAUSE);
    }
  }

  // What is new on the playlist. What was gone from it before it was had is left out.
  async follow() {
    const all = segments(await this.get(this.playlist, "text"), this.playlist);
    const last = all.at(-1);
    if (this.seq < 0) this.seq = last.seq - Math.ceil(BEHIND / last.lasts);
    for (const one of all) if (one.seq > this.seq) await this.take(one);
    this.keepUp();
  }

  async take(segment) {
    const bytes = this.get(segment.url, "arrayBuffer");
    // Nobody may wait for it any more when it fails.
    bytes.catch(() => {});
    if (segment.init !== this.init) await this.begin(segment.init);
    await this.append(await bytes);
    this.seq = segment.seq;
    this.keepUp();
  }

  async begin(url) {
    const init = await this.get(url, "arrayBuffer");
    const type = mediaType(init);
    if (!Source.isTypeSupported(type)) throw new DOMException(type, "NotSupportedError");
    await this.opened;
    if (!this.buffer) {
      this.buffer = this.source.addSourceBuffer(type);
      this.source.duration = Infinity;
    } else if (type !== this.type) {
      this.buffer.changeType(type);
    }
    [this.init, this.type] = [url, type];
    await this.append(init);
  }

  async append(bytes) {
    const over = video.currentTime - KEPT;
    if (this.buffer.buffered.length && this.buffer.buffered.start(0) < over - KEPT) {
      this.buffer.remove(0, over);
      await event(this.buffer, "updateend");
    }
    this.buffer.appendBuffer(bytes);
    await event(this.buffer, "updateend");
  }

  // Where nothing is, or what is there is long over, the picture goes on at the next place.
  keepUp() {
    const { buffered } = video;
    const now = video.currentTime;
    if (!buffered.length) return;
    const end = buffered.end(buffered.length - 1);
    for (let n = 0; n < buffered.length; n++) {
      if (now < buffered.start(n) && (video.readyState < 3 || n === 0)) {
        video.currentTime = buffered.start(n);
        return;
      }
      if (now < buffered.end(n)) break;
    }
    if (end - now > LATE && !video.paused) video.currentTime = end - BEHIND;
  }
}

function play() {
  feed?.end();
  feed = null;
  if (video.canPlayType("application/vnd.apple.mpegurl")) {
    video.src = `/ch/${channel}/index.m3u8`;
  } else if (Source) {
    const mine = feed = new Feed(channel);
    mine.run().catch((why) => {
      if (feed !== mine) return;
      if (why.name === "NotSupportedError") watching.textContent += " (not in this browser)";
      else again();
    });
  } else {
    video.src = `/ch/${channel}.mp4`;
  }
  video.play().catch(() => { /* The person presses play. */ });
}

function watch(link) {
  channel = link.dataset.channel;
  player.hidden = false;
  watching.textContent = link.getAttribute("aria-label").replace(/^Watch/, "Watching");
  mark();
  play();
  video.focus();
  player.scrollIntoView({ block: "nearest" });
}

// The link of the channel that is shown says so.
function mark() {
  for (const link of document.querySelectorAll("a[data-channel]")) {
    if (link.dataset.channel === channel) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}

// A stream ends with its server, and where other parameters begin: it is asked for anew.
function again() {
  if (channel === null) return;
  clearTimeout(retry);
  retry = setTimeout(play, PAUSE * 1000);
}
video.addEventListener("ended", again);
video.addEventListener("error", again);

document.addEventListener("click", (press) => {
  const link = press.target.closest("a[data-channel]");
  if (!link || press.ctrlKey || press.metaKey || press.shiftKey) return;
  press.preventDefault();
  watch(link);
});

// Times as the clock of whoever looks has them.
function localTimes() {
  for (const time of document.querySelectorAll("time")) {
    const at = new Date(time.dateTime);
    if (!isNaN(at)) time.textContent = at.toLocaleTimeString();
  }
}

async function refresh() {
  if (document.hidden) return;
  try {
    const answer = await fetch("/", { signal: AbortSignal.timeout(5000) });
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const [now, then] = [document, fresh].map((d) => d.getElementById("live"));
    // Whoever stands on a link stays there.
    const focus = document.activeElement?.dataset?.channel;
    if (then) now.replaceChildren(...then.childNodes);
    mark();
    localTimes();
    if (focus) now.querySelector(`a[data-channel="${CSS.escape(focus)}"]`)?.focus();
  } catch { /* The server is away: what was known stays. */ }
}
localTimes();
setInterval(refresh, 5000);
