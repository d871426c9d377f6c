/** What charts are drawn from. */

/** The `d` of a line through values, oldest first, that ends at the right edge; `area`: down to the ground and back. */
export function linePath(
  values: readonly number[],
  most: number,
  size: { readonly width: number; readonly height: number; readonly length: number },
  area = false,
): string {
  if (values.length < 2) return '';
  const { width, height, length } = size;
  const step = width / (length - 1);
  const start = width - (values.length - 1) * step;
  const points = values.map((value, at) => {
    const y = height - (most <= 0 ? 0 : (value / most) * height);
    return `${(start + at * step).toFixed(1)},${y.toFixed(1)}`;
  });
  const line = `M${points.join('L')}`;
  return area ? `${line}L${width},${height}L${start.toFixed(1)},${height}Z` : line;
}

/** A round number that is not less, for the top of an axis: 1, 2, 4 or 8 times a power of ten. */
export function niceTop(value: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return power * ([1, 2, 4, 8, 10].find((times) => times * power >= value) ?? 10);
}
