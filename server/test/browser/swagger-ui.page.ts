import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { type Browser, chromium, type Locator, type Page } from 'playwright-core';

/** Where Chromium or a relative of it is: what `CHROMIUM_PATH` says, else what the system has. */
export function findBrowser(): string | undefined {
  const { CHROMIUM_PATH, PATH = '' } = process.env;
  if (CHROMIUM_PATH) return CHROMIUM_PATH;
  const folders = [...PATH.split(delimiter), '/usr/bin'].filter((folder) => folder !== '');
  return ['chromium', 'chromium-browser', 'google-chrome']
    .flatMap((name) => folders.map((folder) => join(folder, name)))
    .find((path) => existsSync(path));
}

export function launchBrowser(executablePath: string): Promise<Browser> {
  return chromium.launch({
    executablePath,
    timeout: 20_000,
    args: [
      // Containers seldom have what the sandbox needs, and only our own page is opened.
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      // It must connect only to the server under test.
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}

/** What Swagger UI shows of one operation that was executed. */
export interface Execution {
  /** The body in the editor; undefined for an operation without one. */
  readonly sent: unknown;
  /** As it is written there: `200`, with a second line when it is not documented. */
  readonly status: string;
  readonly answer: unknown;
}

/** The page of Swagger UI, by what a person does there. */
export class SwaggerUi {
  /** Addresses that the page asked for and that are not on its own server. */
  readonly elsewhere: string[] = [];
  /** Errors that no script of the page has caught, and what the Content-Security-Policy refused. */
  readonly errors: string[] = [];

  private constructor(readonly page: Page) {}

  /** In a context of its own: who is authorized elsewhere is not here. */
  static async open(browser: Browser, url: string, options = {}): Promise<SwaggerUi> {
    const ui = new SwaggerUi(await browser.newPage(options));
    ui.page.setDefaultTimeout(20_000);
    ui.page.on('request', (request) => {
      const { origin, protocol } = new URL(request.url());
      if (protocol !== 'data:' && origin !== new URL(url).origin) ui.elsewhere.push(request.url());
    });
    ui.page.on('pageerror', (error) => ui.errors.push(error.message));
    ui.page.on('console', (message) => {
      if (message.text().includes('Content Security Policy')) ui.errors.push(message.text());
    });
    await ui.page.goto(url);
    await ui.page.locator('.opblock').first().waitFor();
    return ui;
  }

  /** `METHOD path` of each operation, from top to bottom. */
  async operations(): Promise<string[]> {
    const summaries = await this.page.locator('.opblock-summary').all();
    return Promise.all(
      summaries.map(async (summary) => {
        const method = await summary.locator('.opblock-summary-method').innerText();
        const path = await summary.locator('[data-path]').getAttribute('data-path');
        return `${method} ${path}`;
      }),
    );
  }

  async authorize(token: string): Promise<void> {
    await this.page.getByRole('button', { name: 'Authorize', exact: true }).click();
    const dialog = this.page.locator('.modal-ux');
    await dialog.getByRole('textbox').fill(token);
    await dialog.getByRole('button', { name: 'Apply credentials' }).click();
    await dialog.getByText('Authorized', { exact: true }).waitFor();
    await dialog.getByRole('button', { name: 'Close' }).last().click();
  }

  operation(id: string): Locator {
    return this.page.locator(`.opblock[id$="-${id}"]`);
  }

  /** Unfolds the operation or folds it up: each that is open makes the next click slower. */
  async toggle(id: string): Promise<void> {
    await this.operation(id).locator('.opblock-summary-control').click();
  }

  /** Unfolds the operation, changes nothing, presses Execute, reads what is shown and folds it up again. */
  async execute(id: string): Promise<Execution> {
    const operation = this.operation(id);
    await this.toggle(id);
    await operation.getByRole('button', { name: 'Execute' }).click();
    const shown = operation.locator('.live-responses-table tbody');
    const status = await shown.locator('.response-col_status').innerText();
    const answer = await shown.locator('.highlight-code code').innerText();
    // Without waiting: the answer is there, and so is all else.
    const [body] = await operation.locator('textarea').all();
    const sent = body && JSON.parse(await body.inputValue());
    await this.toggle(id);
    return { sent, status: status.trim(), answer: JSON.parse(answer) };
  }
}
