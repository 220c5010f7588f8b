/** A request that a client sent below `/room_keys`, and how it was answered. */
export interface Exchange {
  method: string;
  /** Below `/room_keys`, as it was sent: `/keys?version=1`. */
  path: string;
  /** How many bytes were sent. */
  sent: number;
  /** Of the answer; 0 where the connection broke. */
  status: number;
  /** What the answer said was wrong. */
  errcode?: string;
}

/** Listens to what a client and the key backup say to each other. */
export class Exchanges {
  /** All that were answered, in the order of their answers. */
  readonly all: Exchange[] = [];
  private readonly waiting: { method: string; path: RegExp; resolve: () => void }[] = [];

  /** In place of `fetch`: what the client sends and gets is as it would be without this. */
  readonly fetch: typeof fetch = async (resource, init) => {
    const url = new URL(resource instanceof Request ? resource.url : resource);
    const [, path] = url.pathname.split('/room_keys');
    if (path === undefined) return fetch(resource, init);

    const exchange: Exchange = {
      method: init?.method ?? 'GET',
      path: path + url.search,
      sent: typeof init?.body === 'string' ? Buffer.byteLength(init.body) : 0,
      status: 0,
    };
    this.announce(exchange);
    try {
      const response = await fetch(resource, init);
      exchange.status = response.status;
      if (!response.ok) {
        const error = (await response.clone().json()) as { errcode: string };
        exchange.errcode = error.errcode;
      }
      return response;
    } finally {
      this.all.push(exchange);
    }
  };

  /** Those with this method, at paths like this. */
  of(method: string, path: RegExp): Exchange[] {
    return this.all.filter((exchange) => exchange.method === method && path.test(exchange.path));
  }

  /** Those that were refused, as `PUT 404 M_NOT_FOUND /keys?version=1`. */
  get refused(): string[] {
    return this.all
      .filter(({ status }) => status < 200 || status > 299)
      .map(({ method, path, status, errcode }) => `${method} ${status} ${errcode ?? '-'} ${path}`);
  }

  /** Waits until the client is about to send one with this method, at a path like this. */
  next(method: string, path: RegExp): Promise<void> {
    return new Promise((resolve) => this.waiting.push({ method, path, resolve }));
  }

  private announce({ method, path }: Exchange): void {
    for (const waiting of [...this.waiting]) {
      if (waiting.method !== method || !waiting.path.test(path)) continue;
      this.waiting.splice(this.waiting.indexOf(waiting), 1);
      waiting.resolve();
    }
  }
}
