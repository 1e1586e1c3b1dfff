/** @see https://www.rfc-editor.org/rfc/rfc4180 (with plain newlines, as Unix tools want them) */
export function drawCsv(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, ...rows].map((row) => `${row.map(csvField).join(',')}\n`).join('');
}

export function csvField(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
