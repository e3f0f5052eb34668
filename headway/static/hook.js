// @ts-check
// `useTask` for whichever React a page has. react.js is it for the one named "react".

import { createTopic } from "./client.js";
import { watch } from "./headway.js";

/** @import { HookOptions, ReactLike, UseTask, Watched } from "./types.js" */

const nothing = { ...createTopic("").view, task: null };
const idle = { subscribe: () => () => {}, getSnapshot: () => nothing, getServerSnapshot: () => nothing };
const all = (/** @type {Watched} */ watched) => watched;

/** @param {any} a @param {any} b */
function alike(a, b) {
  if (Object.is(a, b)) return true;
  if (!a || !b || typeof a !== "object" || typeof b !== "object") return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => Object.is(a[key], b[key]));
}

/** What is selected: the same object until it is another. @param {() => Watched} get */
function selecting(get) {
  /** @type {any} */
  let last = {};
  return (/** @type {(watched: Watched) => any} */ select) => {
    const watched = get();
    if (last.watched === watched && last.select === select) return last.value;
    const value = select(watched);
    last = { watched, select, value: alike(value, last.value) ? last.value : value };
    return last.value;
  };
}

/** @param {ReactLike} React @returns {UseTask} */
export function makeUseTask({ useEffect, useMemo, useRef, useSyncExternalStore }) {
  return function useTask(/** @type {string | null | undefined} */ id, /** @type {HookOptions} */ options = {}) {
    const { client, select = all, signal, initialState, ...plain } = options;
    const latest = useRef(options); // functions written in place are new with each render, and mean the same
    useEffect(() => {
      latest.current = options;
    });
    const store = useMemo(() => {
      if (id == null) return idle;
      const { token } = options;
      return (client?.watch ?? watch)(id, {
        ...options,
        onEvent: (event) => latest.current.onEvent?.(event),
        token:
          typeof token === "function"
            ? (refused) => /** @type {typeof token} */ (latest.current.token)(refused)
            : token,
      });
    }, [id, client, JSON.stringify(plain)]);
    const [now, first] = useMemo(() => [selecting(store.getSnapshot), selecting(store.getServerSnapshot)], [store]);
    return useSyncExternalStore(
      store.subscribe,
      () => now(select),
      () => first(select),
    );
  };
}
