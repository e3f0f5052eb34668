import type { Client, ClientOptions, TaskOptions, Topic } from "./types.js";
/** One task as this page holds it. @param {string} id @param {TaskOptions} [options] @returns {Topic} */
export declare function createTopic(id: string, { url, initialState: seed }?: TaskOptions): Topic;
/**
 * Watches that share one connection. `share` may bring another way to come by events.
 * @param {ClientOptions} [options] @returns {Client}
 */
export declare function createClient(options?: ClientOptions): Client;
