// Takes the README's picture of Swagger UI: npx tsx test/browser/screenshot.ts
import { fileURLToPath } from 'node:url';
import { startServer } from './standalone-server.js';
import { findBrowser, launchBrowser, SwaggerUi } from './swagger-ui.page.js';

const PICTURE = fileURLToPath(new URL('../../../docs/images/swagger-ui.png', import.meta.url));

// All operations and an answer do not fit on one screen: the picture leaves out air, what repeats
// the operation's documentation, and the answer's headers.
const FOR_THE_PICTURE = `
  .topbar, .models, .info__license, .opblock-description-wrapper, .request-url, .parameter__deprecated,
  .responses-inner > div > h4, .responses-table:not(.live-responses-table),
  .live-responses-table td > div:not(:first-child) { display: none !important }
  .swagger-ui { position: relative }
  .swagger-ui .info { margin: 20px 0 0 }
  .swagger-ui .info .title, .swagger-ui .info .description p { margin: 0 0 8px }
  .swagger-ui .scheme-container { position: absolute; top: 20px; right: 0; margin: 0; padding: 0; background: none; box-shadow: none }
  .swagger-ui .opblock-tag { margin: 4px 0 6px; padding: 0 10px 4px }
  .swagger-ui .opblock { margin: 0 0 5px }
  .swagger-ui .opblock .opblock-summary { padding: 1px 5px }
  .swagger-ui .opblock .opblock-section-header { padding: 2px 20px; min-height: 36px }
  .swagger-ui .table-container { padding: 0 20px }
  .swagger-ui table tbody tr td { padding: 2px 0 0; line-height: 1.2 }
  .swagger-ui .parameters-col_name { white-space: nowrap }
  .swagger-ui .parameter__type, .swagger-ui .parameter__in { display: inline; margin-right: 4px }
  .swagger-ui .parameters-col_description input[type=text] { margin: 2px 0 4px; padding: 5px 10px }
  .swagger-ui .execute-wrapper, .swagger-ui .btn-group { padding: 6px 20px }
  .swagger-ui .responses-inner { padding: 0 20px 8px }
`;

const browserPath = findBrowser();
if (!browserPath) throw new Error('Install chromium or set CHROMIUM_PATH=/path/to/chromium');
const server = await startServer('secret-token=@alice:localhost', 8090);
const browser = await launchBrowser(browserPath);
try {
  const ui = await SwaggerUi.open(browser, server.docs, {
    viewport: { width: 1440, height: 1000 },
    deviceScaleFactor: 1280 / 1440,
  });
  await ui.authorize('secret-token');
  for (const id of ['postRoomKeysVersion', 'putRoomKeyBySessionId', 'getRoomKeyBySessionId']) {
    await ui.execute(id);
  }
  await ui.toggle('getRoomKeyBySessionId');
  // Neither the mouse nor the focus is to mark what was pressed last.
  await ui.page.getByRole('heading', { level: 1 }).click();
  await ui.page.mouse.move(0, 0);
  await ui.page.addStyleTag({ content: FOR_THE_PICTURE });
  await ui.page.screenshot({ path: PICTURE, fullPage: true, animations: 'disabled' });
} finally {
  await browser.close();
  await server.stop();
}
