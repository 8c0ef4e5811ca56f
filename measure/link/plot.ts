/**
 * One panel of a chart in SVG: a title, two axes with their ticks, and series of points, lines or both. Called by
 * `charts.ts`.
 */

export interface Axis {
  readonly label: string;
  readonly isLogarithmic?: boolean;
  readonly low: number;
  readonly high: number;
  readonly format?: (value: number) => string;
}

export interface Series {
  readonly title: string;
  readonly color: string;
  readonly style: 'points' | 'line' | 'both';
  readonly points: readonly (readonly [x: number, y: number])[];
}

export interface Panel {
  readonly title: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly series: readonly Series[];
  /** Horizontal lines: goals. */
  readonly goals?: readonly number[];
}

/** Okabe and Ito's colours, which nobody confuses. */
export const COLORS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7'] as const;
const INK = '#222';
const PALE = '#ddd';

export const PANEL_WIDTH = 900;
export const PANEL_HEIGHT = 300;
const LEFT = 80;
const RIGHT = 24;
const TOP = 56;
const BOTTOM = 46;

/** Its upper edge is at `top`. */
export function drawPanel({ title, x, y, series, goals = [] }: Panel, top: number): string {
  const xAt = scale(x, LEFT, PANEL_WIDTH - RIGHT);
  const yAt = scale(y, top + PANEL_HEIGHT - BOTTOM, top + TOP);
  const [bottom, ceiling] = [top + PANEL_HEIGHT - BOTTOM, top + TOP];
  const parts = [text(16, top + 22, title, 'font-size="14" font-weight="bold"')];
  let legendAt = LEFT;
  for (const { title: name, color } of series) {
    parts.push(`<circle cx="${legendAt + 5}" cy="${top + 38}" r="4" fill="${color}"/>`);
    parts.push(text(legendAt + 14, top + 42, name));
    legendAt += 34 + 6.4 * name.length;
  }
  for (const tick of ticksOf(x)) {
    parts.push(line(xAt(tick), xAt(tick), ceiling, bottom, PALE));
    parts.push(text(xAt(tick), bottom + 16, (x.format ?? plain)(tick), 'text-anchor="middle"'));
  }
  for (const tick of ticksOf(y)) {
    parts.push(line(LEFT, PANEL_WIDTH - RIGHT, yAt(tick), yAt(tick), tick === 0 ? INK : PALE));
    parts.push(text(LEFT - 8, yAt(tick) + 4, (y.format ?? plain)(tick), 'text-anchor="end"'));
  }
  for (const goal of goals.filter((value) => value >= y.low && value <= y.high))
    parts.push(line(LEFT, PANEL_WIDTH - RIGHT, yAt(goal), yAt(goal), INK, 'stroke-dasharray="6 4"'));
  for (const one of series) parts.push(...drawSeries(one, xAt, yAt));
  parts.push(text((LEFT + PANEL_WIDTH - RIGHT) / 2, bottom + 36, x.label, 'text-anchor="middle"'));
  parts.push(text(16, ceiling - 4, y.label));
  return parts.join('\n');
}

export function document(height: number, parts: readonly string[]): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${PANEL_WIDTH} ${height}" width="${PANEL_WIDTH}" ` +
      `height="${height}" font-family="Helvetica, Arial, sans-serif" font-size="12" fill="${INK}">`,
    '<rect width="100%" height="100%" fill="#fff"/>',
    ...parts,
    '</svg>\n',
  ].join('\n');
}

export function text(x: number, y: number, words: string, attributes = ''): string {
  const escaped = words.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${attributes}>${escaped}</text>`;
}

type Scale = (value: number) => number;

/** What lies outside is drawn at the edge. */
function scale({ isLogarithmic = false, low, high }: Axis, from: number, to: number): Scale {
  const place = isLogarithmic ? Math.log : (value: number): number => value;
  const [begin, end] = [place(low), place(high)];
  return (value) => {
    const clipped = Math.min(high, Math.max(low, value));
    return from + ((to - from) * (place(clipped) - begin)) / (end - begin);
  };
}

/** Decades, or about five steps of 1, 2 or 5. */
function ticksOf({ isLogarithmic = false, low, high }: Axis): number[] {
  if (isLogarithmic) {
    const first = Math.ceil(Math.log10(low) - 1e-9);
    const last = Math.floor(Math.log10(high) + 1e-9);
    return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => 10 ** (first + i));
  }
  const rough = (high - low) / 5;
  const decade = 10 ** Math.floor(Math.log10(rough));
  const step = decade * ([1, 2, 5, 10].find((digit) => digit * decade >= rough) ?? 10);
  const ticks: number[] = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) ticks.push(i * step);
  return ticks;
}

function drawSeries({ color, style, points }: Series, xAt: Scale, yAt: Scale): string[] {
  const places = points.map(([x, y]) => `${xAt(x).toFixed(1)},${yAt(y).toFixed(1)}`);
  const joined = `<polyline points="${places.join(' ')}" fill="none" stroke="${color}" stroke-width="1.6"/>`;
  const dots = places.map((place) => {
    const [x, y] = place.split(',');
    return `<circle cx="${x!}" cy="${y!}" r="4" fill="${color}"/>`;
  });
  return [...(style === 'points' ? [] : [joined]), ...(style === 'line' ? [] : dots)];
}

function line(x1: number, x2: number, y1: number, y2: number, color: string, attributes = ''): string {
  const [a, b, c, d] = [x1, x2, y1, y2].map((value) => value.toFixed(1));
  return `<line x1="${a!}" x2="${b!}" y1="${c!}" y2="${d!}" stroke="${color}" ${attributes}/>`;
}

function plain(value: number): string {
  return String(Number(value.toPrecision(6)));
}
