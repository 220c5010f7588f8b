/** How long requests that are under way may take to finish when the server is told to stop. */
export const STOP_PATIENCE_MS = 25_000;
