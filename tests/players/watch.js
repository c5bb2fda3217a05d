// Run by the tests in a page: reads the number of each picture that a video shows.
window.watched = {};
window.watchPictures = (name, video) => {
  const report = { numbers: [], presented: [], times: [], firstMs: -1, waits: 0, fault: null };
  window.watched[name] = report;
  const began = performance.now();
  const canvas = document.createElement("canvas");
  canvas.width = 320;
  canvas.height = 1;
  const strip = canvas.getContext("2d", { willReadFrequently: true });
  const shown = (now, about) => {
    if (report.firstMs < 0) report.firstMs = performance.now() - began;
    strip.drawImage(video, 0, 10, 320, 1, 0, 0, 320, 1);
    const row = strip.getImageData(0, 0, 320, 1).data;
    let number = 0;
    for (let bit = 0; bit < 16; bit++) if (row[4 * (bit * 20 + 10)] > 125) number |= 1 << bit;
    report.numbers.push(number);
    report.presented.push(about.presentedFrames);
    report.times.push(Math.max(0, Math.round(now - began)));
    video.requestVideoFrameCallback(shown);
  };
  video.requestVideoFrameCallback(shown);
  video.addEventListener("waiting", () => { if (report.firstMs >= 0) report.waits++; });
  video.addEventListener("error", () => { report.fault = video.error && video.error.message; });
  video.addEventListener("ended", () => { report.fault = "ended"; });
  report.end = () => {
    const quality = video.getVideoPlaybackQuality();
    const { numbers, presented, times, firstMs, waits, fault } = report;
    return { numbers, presented, times, firstMs, waits, fault, dropped: quality.droppedVideoFrames };
  };
  return report;
};
window.watchUrl = (name, url) => {
  const video = document.createElement("video");
  video.width = 320;
  document.body.append(video);
  window.watchPictures(name, video);
  video.src = url;
  return video.play();
};
