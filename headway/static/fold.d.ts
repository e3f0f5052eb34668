import type { State, TaskEvent } from "./types.js";
/** The state before the first event. @param {string | null} id @returns {State} */
export declare const initialState: (id: string | null) => State;
/** Whether nothing more will come. @param {Pick<State, "status">} state */
export declare const isEnded: ({ status }: Pick<State, "status">) => boolean;
/** The number of the event with that id. @param {string | null | undefined} cursor */
export declare const seqOf: (cursor: string | null | undefined) => number;
/**
 * The state after an event of the task's history. One that is not known changes nothing: the same object returns.
 * @param {State} state @param {TaskEvent} event @returns {State}
 */
export declare function fold(state: State, event: TaskEvent): State;
/**
 * The state after anything a stream says of its task. An event whose `cursor` has been seen, or one that says nothing
 * new, changes nothing: the same object returns. Never throws.
 * @param {State} state @param {TaskEvent} event @returns {State}
 */
export declare function reduce(state: State, event: TaskEvent): State;
