/** The package is not what a driver package must be; the message says in what, and is for whoever made it. */
export class PackageError extends Error {
  override readonly name = 'PackageError';
}
