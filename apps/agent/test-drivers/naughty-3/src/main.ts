/** A version that does not even start. */
throw new Error('this version is broken');
