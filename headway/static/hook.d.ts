import type { ReactLike, UseTask } from "./types.js";
/** @param {ReactLike} React @returns {UseTask} */
export declare function makeUseTask({ useEffect, useMemo, useRef, useSyncExternalStore }: ReactLike): UseTask;
