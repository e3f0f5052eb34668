// @ts-check
import * as React from "react";
import { makeUseTask } from "./hook.js";

export { makeUseTask };

/** The state of a task, or what `select` takes of it. */
export const useTask = makeUseTask(React);
