/** The answer of a changing call that was no rehearsal. @throws when it was one. */
export function carriedOut<T>(answer: T): Exclude<T, { readonly dry_run: true }> {
  if (typeof answer === 'object' && answer !== null && 'dry_run' in answer) {
    throw new Error(`A rehearsal: ${JSON.stringify(answer)}`);
  }
  return answer as Exclude<T, { readonly dry_run: true }>;
}
