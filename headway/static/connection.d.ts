import type { ClientOptions, Wishes } from "./types.js";
/** @param {ClientOptions} options @param {Wishes} wishes */
export declare function connect({ token, headers, credentials, fetch, silenceMs, retry }: ClientOptions, wishes: Wishes): {
    /** Connect now, unless that is done or being tried. */
    go(): void;
    leave: () => void;
    readonly open: boolean;
    /** Silent for two heartbeats: it may have died unnoticed. */
    readonly doubtful: boolean;
};
