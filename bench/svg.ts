/** The little that plots need of SVG. Colours follow the reader's light or dark scheme. */

const STYLE = `
  text { font: 12px system-ui, sans-serif; fill: #24292f }
  .title { font-size: 15px; font-weight: 600 }
  .faint { fill: #57606a }
  .end { text-anchor: end }
  .middle { text-anchor: middle }
  .page { fill: #ffffff }
  .grid { stroke: #d0d7de; stroke-width: 1 }
  .base { stroke: #57606a; stroke-width: 1.5; stroke-dasharray: 4 3 }
  .one { fill: #0969da; stroke: #0969da }
  .two { fill: #bc4c00; stroke: #bc4c00 }
  .line { fill: none; stroke-width: 2 }
  .whisker { stroke-width: 1; opacity: 0.6 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .faint { fill: #8d96a0 }
    .page { fill: #0d1117 }
    .grid { stroke: #30363d }
    .base { stroke: #8d96a0 }
    .one { fill: #4493f8; stroke: #4493f8 }
    .two { fill: #f0883e; stroke: #f0883e }
  }`;

type Attributes = Readonly<Record<string, string | number>>;

/** An element; `content` is SVG, not text. */
export function element(name: string, attributes: Attributes, content = ''): string {
  const list = Object.entries(attributes).map(([key, value]) => ` ${key}="${short(value)}"`);
  return content === '' ? `<${name}${list.join('')}/>\n` : `<${name}${list.join('')}>${content}</${name}>\n`;
}

export function text(x: number, y: number, kind: string, content: string): string {
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return element('text', { x, y, class: kind }, escaped);
}

export function line(x1: number, y1: number, x2: number, y2: number, kind: string): string {
  return element('line', { x1, y1, x2, y2, class: kind });
}

/** A whole file. `description` is what is read out in place of the picture. */
export function picture(width: number, height: number, description: string, content: string): string {
  const page = element('rect', { width, height, class: 'page' });
  const attributes = {
    xmlns: 'http://www.w3.org/2000/svg',
    viewBox: `0 0 ${width} ${height}`,
    width,
    height,
    role: 'img',
  };
  const head = element('title', {}, description) + element('style', {}, STYLE);
  return element('svg', attributes, `\n${head}${page}${content}`);
}

function short(value: string | number): string {
  return typeof value === 'number' ? String(Math.round(value * 100) / 100) : value;
}
