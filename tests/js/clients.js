// Two clients that people use in Node, each led to the end of a stream the way its manual says.
//
// A client is called with a URL, the names of the events it shall listen for besides `message`, and `tell`, which
// gets every event as { event, id, data } and every connection as { open: status }. Its promise resolves to the
// status that told it to stop. `options.fetch` is the fetch it shall use.

import { fetchEventSource } from "@microsoft/fetch-event-source";
import { EventSource } from "eventsource";

globalThis.window ??= globalThis; // fetch-event-source takes its timers and its fetch from there
globalThis.document ??= { hidden: false, addEventListener() {}, removeEventListener() {} };

function byEventSource(url, names, tell, options = {}) {
  return new Promise((resolve) => {
    const source = new EventSource(url, options);
    const hear = ({ type, lastEventId, data }) => tell({ event: type, id: lastEventId || null, data });
    source.onopen = () => tell({ open: 200 });
    source.onmessage = hear;
    for (const name of names) source.addEventListener(name, hear);
    source.onerror = ({ code }) => {
      if (source.readyState === source.CLOSED) resolve(code);
    };
  });
}

class Refused extends Error {
  constructor(status) {
    super(`status ${status}`);
    this.status = status;
  }
}

function byFetchEventSource(url, names, tell, options = {}) {
  const known = new Set(["message", ...names]);
  const source = fetchEventSource(url, {
    ...options,
    openWhenHidden: true, // there is no page to hide
    async onopen(response) {
      if (response.status !== 200) throw new Refused(response.status);
      tell({ open: 200 });
    },
    onmessage({ event, id, data }) {
      const name = event || "message";
      if (known.has(name)) tell({ event: name, id: id || null, data });
    },
    onclose() {
      throw new Error("closed"); // it would not come back otherwise
    },
    onerror(error) {
      if (error instanceof Refused) throw error; // it would come back otherwise
    },
  });
  return source.catch((error) => {
    if (error instanceof Refused) return error.status;
    throw error;
  });
}

export const clients = { eventsource: byEventSource, "fetch-event-source": byFetchEventSource };
