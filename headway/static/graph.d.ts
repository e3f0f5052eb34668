import type { Stage } from "./types.js";
export type Place = {
    x: number;
    y: number;
};
export type Edge = {
    from: string;
    to: string;
    through: Place[];
};
export type Layout = {
    nodes: Map<string, Place>;
    edges: Edge[];
    columns: number;
    rows: number;
};
export type Spot = Place & {
    from: Spot[];
    to: Spot[];
    wish: number;
};
/**
 * Places for stages. An edge passes `through` a place of its own in every column it crosses. Keys nobody has are no
 * edges, nor is what would close a circle. What was declared first stays on top.
 * @param {readonly Pick<Stage, "key" | "needs">[]} stages @returns {Layout}
 */
export declare function layered(stages: readonly Pick<Stage, "key" | "needs">[]): Layout;
/** Draws a view's stages into its canvas. @param {any} view @param {any} canvas */
export declare function drawGraph(view: any, canvas: any, layout?: typeof layered): void;
