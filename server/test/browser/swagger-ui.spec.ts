// Proves in a real browser, on the built server, that Swagger UI works: a person enters an access token,
// presses Execute on each of the 14 operations, without changing an example, is answered 200,
// and reads back what was stored.
import type { Browser } from 'playwright-core';
import { type StandaloneServer, startServer } from './standalone-server.js';
import { type Execution, findBrowser, launchBrowser, SwaggerUi } from './swagger-ui.page.js';

const TOKEN = 'secret-token';

const remedy = 'install chromium or set CHROMIUM_PATH=/path/to/chromium';
const browserPath = findBrowser();
if (!browserPath) {
  if (process.env.CI) throw new Error(`A browser is required here: ${remedy}`);
  process.stderr.write(`Swagger UI is left out: no browser found. To include it, ${remedy}\n`);
}

(browserPath ? describe : describe.skip)('Swagger UI', () => {
  let server: StandaloneServer | undefined;
  let browser: Browser | undefined;
  let ui: SwaggerUi;

  beforeAll(async () => {
    server = await startServer(`${TOKEN}=@alice:localhost`);
    browser = await launchBrowser(browserPath!);
    ui = await SwaggerUi.open(browser, server.docs);
  });

  afterAll(async () => {
    await browser?.close();
    await server?.stop();
  });

  it('lists the 14 operations and nothing else', async () => {
    const base = '/_matrix/client/v3/room_keys';

    expect((await ui.operations()).sort()).toEqual(
      [
        `POST ${base}/version`,
        `GET ${base}/version`,
        ...['GET', 'PUT', 'DELETE'].flatMap((method) => [
          `${method} ${base}/version/{version}`,
          `${method} ${base}/keys`,
          `${method} ${base}/keys/{roomId}`,
          `${method} ${base}/keys/{roomId}/{sessionId}`,
        ]),
      ].sort(),
    );
  });

  it('shows the error of a request without a token', async () => {
    const anonymous = await SwaggerUi.open(browser!, server!.docs);

    expect(await anonymous.execute('getRoomKeysVersionCurrent')).toMatchObject({
      status: '401',
      answer: { errcode: 'M_MISSING_TOKEN' },
    });
  });

  describe('once authorized', () => {
    const executions = new Map<string, Execution>();

    beforeAll(() => ui.authorize(TOKEN));

    // From top to bottom, one session of a user who had no backup before.
    it.each([
      ['postRoomKeysVersion', { version: '1' }],
      ['getRoomKeysVersionCurrent', { version: '1', count: 0 }],
      ['putRoomKeysVersion', {}],
      ['getRoomKeysVersion', { version: '1', count: 0 }],
      ['putRoomKeys', { count: 1 }],
      ['getRoomKeys', {}],
      ['putRoomKeysByRoomId', { count: 2 }],
      ['getRoomKeysByRoomId', {}],
      ['putRoomKeyBySessionId', { count: 3 }],
      ['getRoomKeyBySessionId', {}],
      ['deleteRoomKeyBySessionId', { count: 2 }],
      ['deleteRoomKeysByRoomId', { count: 1 }],
      ['deleteRoomKeys', { count: 0 }],
      ['deleteRoomKeysVersion', {}],
    ])('executes %s with its examples as they are', async (operation, answer) => {
      const execution = await ui.execute(operation);
      executions.set(operation, execution);

      expect(execution).toMatchObject({ status: '200', answer });
    });

    it.each([
      ['postRoomKeysVersion', 'getRoomKeysVersionCurrent'],
      ['putRoomKeysVersion', 'getRoomKeysVersion'],
      ['putRoomKeys', 'getRoomKeys'],
      ['putRoomKeysByRoomId', 'getRoomKeysByRoomId'],
      ['putRoomKeyBySessionId', 'getRoomKeyBySessionId'],
    ])('shows what %s has stored as the answer of %s', (write, read) => {
      expect(executions.get(read)!.answer).toMatchObject(executions.get(write)!.sent as object);
    });
  });

  it('can be framed by no page, and loads nothing but its own files', async () => {
    for (const path of ['', '/swagger-ui-init.js', '-json']) {
      const { headers } = await fetch(`${server!.docs}${path}`);
      expect(headers.get('content-security-policy')).toMatch(
        /^default-src 'none'; script-src 'self';/,
      );
      expect(headers.get('x-frame-options')).toBe('DENY');
      expect(headers.get('x-content-type-options')).toBe('nosniff');
    }
  });

  it('needs nothing from elsewhere, and runs without an error', () => {
    expect(ui).toMatchObject({ elsewhere: [], errors: [] });
  });
});
