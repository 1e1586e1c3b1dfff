/** JSON as Python's json.dumps writes it, for the texts inside v2's answers: a blank after each comma and colon. */
export function pythonJson(value: Readonly<Record<string, string>>): string {
  const members = Object.entries(value).map(
    ([key, text]) => `${JSON.stringify(key)}: ${JSON.stringify(text)}`,
  );
  return `{${members.join(', ')}}`;
}
