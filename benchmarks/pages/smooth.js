// How smoothly a page runs: its frames, the changes it shows, and tasks that held its thread for more than 50 ms.

globalThis.smooth = { frames: 0, changes: 0, held: [] };

requestAnimationFrame(function count() {
  smooth.frames++;
  requestAnimationFrame(count);
});

addEventListener("headway:change", () => smooth.changes++);

new PerformanceObserver((list) => {
  for (const { duration } of list.getEntries()) smooth.held.push(duration);
}).observe({ type: "longtask", buffered: true });
