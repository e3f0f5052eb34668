import type { ClientOptions, LinkError, Link, Source, State, TaskEvent, Topic } from "./types.js";
export type Message = {
    from: string;
    to?: string;
    want?: Record<string, State | string | null>;
    renew?: boolean;
    lead?: boolean;
    id?: string;
    event?: TaskEvent;
    late?: boolean;
    link?: Link;
    retry_in_ms?: number | null;
    error?: LinkError | null;
};
/** @param {ClientOptions} options @param {Map<string, Topic>} topics @returns {Source} */
export declare function tabs(options: ClientOptions, topics: Map<string, Topic>): Source;
