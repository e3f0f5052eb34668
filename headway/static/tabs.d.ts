import type { LinkError, Link, State, TaskEvent } from "./types.js";
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
