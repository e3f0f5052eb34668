import type { Said } from "./types.js";
/** A reader of text that comes in pieces, torn anywhere. What the end of the stream tears is never said. */
export declare function createParser(): (text: string) => Said[];
/** What each chunk of the body completes, at once. @param {ReadableStream<Uint8Array>} body */
export declare function readChunks(body: ReadableStream<Uint8Array>): AsyncGenerator<Said[], void, unknown>;
/**
 * All that a response's body says: events, comments, changes of the time to return. Ends with the body, throws when
 * it breaks. Leaving the loop cancels it.
 * @param {ReadableStream<Uint8Array>} body
 */
export declare function parseSSE(body: ReadableStream<Uint8Array>): AsyncGenerator<Said, void, unknown>;
