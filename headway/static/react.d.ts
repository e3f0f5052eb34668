import { makeUseTask } from "./hook.js";
export { makeUseTask };
/** The state of a task, or what `select` takes of it. */
export declare const useTask: import("./types.js").UseTask;
