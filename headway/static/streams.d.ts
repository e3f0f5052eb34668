import type { ClientOptions, Source, Topic } from "./types.js";
/** @param {ClientOptions} options @param {Map<string, Topic>} topics @returns {Source} */
export declare function streams(options: ClientOptions, topics: Map<string, Topic>): Source;
