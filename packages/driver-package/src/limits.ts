/** What a driver package may be. Kept by the server when it takes one in, and by every agent before it starts one. */
export const packageLimits = {
  tarballBytesMax: 64 * 1024 * 1024,
  unpackedBytesMax: 256 * 1024 * 1024,
  fileBytesMax: 64 * 1024 * 1024,
  entriesMax: 8192,
  pathCharsMax: 200,
  pathSegmentsMax: 32,
  /** Of what is unpacked to what is sent; below `ratioFreeBytes` it does not matter. */
  ratioMax: 100,
  ratioFreeBytes: 1024 * 1024,
  /** Of manifest.json and of package.json. */
  manifestBytesMax: 1024 * 1024,
} as const;
