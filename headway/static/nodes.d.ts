export declare const toneOf: (status: any) => any;
/** Its name, tone and status become classes and parts; an icon it begins with is drawn. */
export declare function look(node: any, name: any, status?: string): void;
/** Makes elements, and keeps each in `nodes` by its name. */
export declare const maker: (nodes: any) => (tag: any, name: any, ...children: any[]) => any;
export declare function shape(tag: any, attributes: any, ...children: any[]): any;
export declare const icon: () => any;
export declare function write(node: any, text: any): void;
export declare function attrs(node: any, attributes: any): void;
export declare function css(node: any, name: any, value: any): void;
/** A constructed sheet: a page's policy may forbid inline styles. */
export declare function sheet(text: any): CSSStyleSheet;
