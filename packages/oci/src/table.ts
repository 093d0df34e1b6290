/** Columns as Go's tabwriter sets them for runc: at least 12 wide, three spaces between. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(12, ...rows.map((row) => (row[column]?.length ?? 0) + 3)),
  )
  const line = (row: readonly string[]): string =>
    row.map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0))).join('')
  return rows.map((row) => `${line(row)}\n`).join('')
}
