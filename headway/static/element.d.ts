import type { Token } from "./types.js";
export type Texts = Record<string, string | ((values: any) => unknown)>;
/** @import { Make, Nodes } from "./nodes.js" */
/** @import { Stage, Token, Watch } from "./types.js" */
/** @typedef {Record<string, string | ((values: any) => unknown)>} Texts */
/** All that is said. A text has {places} for values, or is a function of them. @type {Texts} */
export declare const texts: Texts;
declare const HeadwayProgress_base: {
    new (): HTMLElement;
    prototype: HTMLElement;
};
/**
 * `<headway-progress task="…">`. It fires `headway:change` (with the state), `headway:event` (an event of the task's own:
 * name and data), `headway:done` (the last state), and `headway:cancel`, which may be prevented.
 */
export declare class HeadwayProgress extends HeadwayProgress_base {
    #private;
    static observedAttributes: string[];
    /** What all elements say. @type {Texts} */
    static texts: Texts;
    /** More options of `watch`, for all elements. @type {import("./types.js").WatchOptions} */
    static options: import("./types.js").WatchOptions;
    /** Places the nodes of a graph otherwise: see `layered` in graph.js. @type {((stages: readonly any[]) => any) | undefined} */
    static layout: ((stages: readonly any[]) => any) | undefined;
    /** Whether the viewer has asked for the task's end. */
    cancelling: boolean;
    constructor();
    connectedCallback(): void;
    disconnectedCallback(): void;
    /** @param {string} _ @param {string | null} before @param {string | null} now */
    attributeChangedCallback(_: string, before: string | null, now: string | null): void;
    /** The task's id. @type {string | null} */
    get task(): string | null;
    set task(task: string | null);
    /** Sent with requests, or a function that returns it. @type {Token | undefined} */
    get token(): Token | undefined;
    set token(token: Token | undefined);
    /** Where the blueprint is. @type {string | undefined} */
    get base(): string | undefined;
    /** @type {"full" | "stepper" | "bar" | "compact"} */
    get variant(): "full" | "stepper" | "bar" | "compact";
    /** @type {string | undefined} */
    get locale(): string | undefined;
    /** What this element says in words of its own. @type {Texts} */
    get texts(): Texts;
    set texts(own: Texts);
    /** What is shown. Set by hand it needs no connection and has none; null leaves it to `task` again. @type {any} */
    get state(): any;
    set state(state: any);
    /** Connect anew, now. */
    reconnect(): void;
    /** Ask for the task's end. */
    cancelTask(): Promise<void>;
}
export {};
