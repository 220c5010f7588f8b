/** A homeserver, or its database, cannot be read; the message says what is wrong and what to do, without a password. */
export class SourceError extends Error {}
