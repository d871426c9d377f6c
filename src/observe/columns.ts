/**
 * A line for each row of cells, each column as wide as its widest cell and two spaces from the next. Columns from
 * `numbers` on are set to the right.
 */
export function columns(rows: readonly (readonly string[])[], numbers = Infinity): string[] {
  const widths = rows[0].map((_, column) => rows.reduce((width, row) => Math.max(width, row[column].length), 0));
  const set = (cell: string, column: number): string =>
    column < numbers ? cell.padEnd(widths[column]) : cell.padStart(widths[column]);
  return rows.map((row) => row.map(set).join('  ').trimEnd());
}
