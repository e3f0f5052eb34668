/** One of wait, run, ok, warn, err, off. @param {string} status */
export declare const toneOf: (status: string) => string;
/** Its name, tone and status become classes and parts; an icon it begins with is drawn. @param {Element} node @param {string} name */
export declare function look(node: Element, name: string, status?: string): void;
export type Nodes = Record<string, any>;
export type Make = (tag: string, name: string, ...children: Node[]) => any;
/** What `maker` has made, by name. @typedef {Record<string, any>} Nodes */
/** @typedef {(tag: string, name: string, ...children: Node[]) => any} Make */
/** Makes elements, and keeps each in `nodes` by its name. @param {Nodes} nodes @returns {Make} */
export declare const maker: (nodes: Nodes) => Make;
/** Makes a part of a drawing. @param {string} tag @param {Record<string, unknown>} attributes @param {Node[]} children */
export declare function shape(tag: string, attributes: Record<string, unknown>, ...children: Node[]): SVGElement;
export declare const icon: () => SVGElement;
/** @param {Node} node @param {string} text */
export declare function write(node: Node, text: string): void;
/** What is null or undefined is removed. @param {Element} node @param {Record<string, unknown>} attributes */
export declare function attrs(node: Element, attributes: Record<string, unknown>): void;
/** @param {any} node @param {string} name @param {string} value */
export declare function css(node: any, name: string, value: string): void;
/** A constructed sheet: a page's policy may forbid inline styles. @param {string} text */
export declare function sheet(text: string): CSSStyleSheet;
