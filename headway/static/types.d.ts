// The shapes of everything: what the server says, what a page is told, what can be asked for.
// Written by hand; the other *.d.ts are made from the JavaScript (`npm --prefix tests/js run types`).

export type TaskStatus =
  "queued" | "scheduled" | "running" | "retrying" | "succeeded" | "failed" | "cancelled" | "lost" | "expired";
export type StageStatus = "waiting" | "running" | "done" | "failed" | "skipped";

export interface Stage {
  key: string;
  label: string | null;
  status: StageStatus;
  current: number | null;
  /** null while nobody knows: the bar is indeterminate. */
  total: number | null;
  /** Of what, in the singular: "page". */
  unit: string | null;
  message: string | null;
  data: any;
  /** Keys of the stages that must be done before this one. */
  needs: readonly string[];
  started_at: number | null;
  finished_at: number | null;
  /** Seconds it usually takes: from, to. */
  expected: readonly [number, number] | null;
  /** How many times it was entered. */
  runs: number;
}

export interface TaskError {
  type: string;
  /** Only what viewers may read. */
  message: string | null;
  /** The key of the stage it happened in. */
  stage: string | null;
}

/** An announced loss: these events could not be delivered. What is not known is null. */
export interface Gap {
  reason: "trimmed" | "fork" | "unknown";
  first: number | null;
  last: number | null;
}

/** All that can be known of a task. Times are unix seconds of the server's clock. Never changed, only replaced. */
export interface State<R = any> {
  task: string | null;
  name: string | null;
  title: string | null;
  status: TaskStatus;
  /** Its worker is silent: nobody knows whether it still runs. */
  stalled: boolean;
  /** Somebody has asked for its end. */
  cancelling: boolean;
  /** Among what waits in its queue: 1 is the next to run. null when that cannot be told. */
  position: number | null;
  /** Whether anybody but this page has said that there is such a task. */
  confirmed: boolean;
  attempt: number;
  /** 0 to 1, or null while nothing can be said. */
  progress: number | null;
  /** Seconds, reckoned at `updated_at`. */
  remaining: number | null;
  message: string | null;
  data: any;
  stages: readonly Stage[];
  result: R | null;
  error: TaskError | null;
  worker: string | null;
  workflow: string | null;
  due_at: number | null;
  queued_at: number | null;
  started_at: number | null;
  updated_at: number | null;
  finished_at: number | null;
  /** The id of the last event that is in this state; a stream goes on from there. */
  cursor: string | null;
  /** What the last snapshot said had been lost before it. */
  gap: Gap | null;
  /** False while the server's own link to Redis is down: what is shown may be old. */
  server_live: boolean;
}

/** The connection, not the task: `closed` after the task's end, `close()`, or a refusal. */
export type Link = "idle" | "connecting" | "open" | "reconnecting" | "offline" | "closed";

/** Why there will be no more: what the server answered. */
export interface LinkError {
  status: number;
  code: "unauthorized" | "forbidden" | "not_found" | "gone" | "not_a_stream" | "refused";
  message: string;
}

/** What `watch` shows: the task's state, and how it is known. */
export interface Watched<R = any> extends State<R> {
  link: Link;
  /** The link is open. */
  connected: boolean;
  /** It was lost, or never came about, and is tried again. */
  reconnecting: boolean;
  /** How long the next try was put off when the last one failed. */
  retry_in_ms: number | null;
  link_error: LinkError | null;
  /** Seconds to add to this machine's clock to have the server's. */
  clock_offset: number;
}

/** An event as the server says it, and the id it came with. `emitted` has a name and data; docs/schema.json has all. */
export interface TaskEvent {
  type:
    | "queued"
    | "started"
    | "stage"
    | "message"
    | "emitted"
    | "cancelling"
    | "retrying"
    | "finished"
    | "snapshot"
    | "stalled"
    | "position"
    | "link"
    | "ended"
    | (string & {});
  task?: string;
  at: number;
  /** `seq-chain`; streams' own events have none. */
  cursor?: string | null;
  [field: string]: any;
}

export type Token = string | null | ((refused: boolean) => string | null | Promise<string | null>);

/** How to reach the server. Watches whose options are equal share one connection. */
export interface ClientOptions {
  /** Where the blueprint is. "/headway" */
  baseUrl?: string;
  /** Sent as `Authorization: Bearer`. A function is called for each connection, and again, with true, after a 401. */
  token?: Token;
  headers?: Record<string, string>;
  credentials?: RequestCredentials;
  fetch?: typeof fetch;
  /** Delays before the next try: random up to min, 2 min, 4 min … max, on top of what the server asks. 500, 8000 */
  retry?: { minMs?: number; maxMs?: number };
  /** A connection silent for so long is given up. Three of the server's heartbeats */
  silenceMs?: number;
  /** `tabs` of tabs.js: one connection for all tabs of the browser. */
  share?: Share;
  /** With `share`: who is logged in. Tabs of different viewers share nothing. */
  viewer?: string;
}

/** What to watch, and how. */
export interface TaskOptions {
  /** A route of your own that streams the task, instead of the blueprint's. It has a connection to itself. */
  url?: string;
  /** What is known already, such as a state rendered by the server. `{cursor: "0"}` asks for all that is kept. */
  initialState?: Partial<State> | null;
  /** Aborting is closing. */
  signal?: AbortSignal | null;
  /** Called with every event, each once and in order. After a gap, what was lost is missing here. */
  onEvent?: ((event: TaskEvent) => void) | null;
}

export interface WatchOptions extends ClientOptions, TaskOptions {}

/**
 * A task that can be watched: an external store, and an async iterator of the latest state (one who is slow misses
 * what is in between, never the last). It connects when somebody subscribes, iterates or asks for `done`, and
 * disconnects a second after the last one has left. The functions need no `this`.
 */
export interface Watch<R = any> extends AsyncIterable<Watched<R>> {
  /** `changed` is called after each change; returns what ends it. */
  subscribe(changed: () => void): () => void;
  /** The same object until something changes. */
  getSnapshot(): Watched<R>;
  /** What was known at first, for rendering on a server and hydrating. */
  getServerSnapshot(): Watched<R>;
  /** The state when the task has ended, however. Rejected by `close()`, an abort, or a refusal, with its `link_error`. */
  readonly done: Promise<Watched<R>>;
  /** Connect anew now: not to wait for the next try, or after a refusal. */
  reconnect(): void;
  /** Watch no more. What is known stays; only `reconnect()` opens it again. */
  close(): void;
}

export interface Client {
  watch<R = any>(id: string, options?: TaskOptions): Watch<R>;
  /** Close all its watches. */
  close(): void;
}

export interface HookOptions extends WatchOptions {
  /** A client of yours; then what is said of the connection here is not used. */
  client?: Client;
  /** Render again only when this part of it changes. An object is compared by its fields. */
  select?: (watched: Watched) => any;
}

export interface UseTask {
  <R = any>(id: string | null | undefined, options?: HookOptions & { select?: undefined }): Watched<R>;
  <T, R = any>(id: string | null | undefined, options: HookOptions & { select: (watched: Watched<R>) => T }): T;
}

/** As much of React, 18 or later, as the hook needs. */
export interface ReactLike {
  useEffect(effect: () => void): void;
  useMemo<T>(make: () => T, deps: readonly unknown[]): T;
  useRef<T>(initial: T): { current: T };
  useSyncExternalStore<T>(subscribe: (changed: () => void) => () => void, get: () => T, getServer?: () => T): T;
}

/** One line, or block of lines, of an event stream. `id` is the event's own; `last_id` is what to return with. */
export type Said =
  | { type: "event"; event: string; data: string; id: string | null; last_id: string }
  | { type: "id"; last_id: string }
  | { type: "retry"; retry: number }
  | { type: "comment"; comment: string };

// -- between the files of this folder ------------------------------------------------------------------------

/** One task as a page holds it. */
export interface Topic {
  readonly key: string;
  readonly id: string;
  readonly url: string | null;
  /** Nothing more is to come: it has ended, or was refused. */
  readonly over: boolean;
  readonly view: Watched;
  readonly hearers: Set<(event: TaskEvent) => void>;
  readonly listeners: Set<() => void>;
  /** False if an event is missing before this one. */
  accept(event: TaskEvent): boolean;
  linked(link: Link, retryInMs?: number | null): void;
  end(error?: LinkError | null): void;
  /** Want more after a refusal. */
  reopen(): void;
}

/** What brings topics their events. */
export interface Source {
  /** There are other topics than before. */
  changed(): void;
  /** Connect anew, for one topic or all: at once where it waits; what works goes on until the new one has opened. */
  renew(topic?: Topic | null, onlyIfDoubtful?: boolean): void;
  /** The page is put away; `renew` when it is back. */
  pause(): void;
}

export type Share = (options: ClientOptions, topics: Map<string, Topic>) => Source;

/** What a connection asks of whoever made it. */
export interface Wishes {
  /** Asked before each try. */
  request(): { url: string; method?: string; body?: string; headers?: Record<string, string> };
  linked(link: Link, retryInMs?: number): void;
  /** False if it does not follow what was heard before. */
  heard(event: { data: string; id: string | null }): boolean;
  /** The server has nothing more. */
  ended(): void;
  /** For good; true to try again with another request. */
  refused(error: LinkError, tasks: unknown): boolean;
}
