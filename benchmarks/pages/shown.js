// When the element has drawn, and what it shows then: [now, the last event's time, the time its message says].

const element = document.querySelector("headway-progress");
globalThis.shown = [];

new MutationObserver(() => {
  const now = (performance.timeOrigin + performance.now()) / 1000;
  const said = element.shadowRoot.querySelector(".stage .detail")?.textContent;
  shown.push([now, element.state?.updated_at ?? 0, Number(said) || 0]);
}).observe(element.shadowRoot, { subtree: true, childList: true, characterData: true, attributes: true });
