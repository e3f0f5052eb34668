/**
 * Columns and rows for stages, 1 apart. An edge passes `through` a place of its own in every column it crosses. Keys
 * nobody has are no edges, nor is what would close a circle. What was declared first stays on top.
 */
export declare function layered(stages: any): {
    nodes: Map<any, {
        x: any;
        y: number;
        from: never[];
        to: never[];
    }>;
    edges: any[];
    columns: number;
    rows: number;
};
/** Draws a view's stages into its canvas. `layout` may be another than ours. */
export declare function drawGraph(view: any, canvas: any, layout?: typeof layered): void;
