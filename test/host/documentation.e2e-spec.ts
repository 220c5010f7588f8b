/** Proves what a host's OpenAPI document says of our operations, and what is said where it lacks something. */
import { DocumentBuilder, type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import { databases } from '../support/databases.js';
import { type Host, type HostOptions, startHost } from './hostile-host.js';

const { create } = databases[0]!;
const cleanUp: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const undo of cleanUp.splice(0).reverse()) await undo();
});

async function start(options: HostOptions['options'] = {}): Promise<Host> {
  const database = await create();
  cleanUp.push(database.drop);
  const host = await startHost(database, { options });
  cleanUp.push(host.close);
  return host;
}

type Operation = Record<string, unknown> & { security: object[] };

const operationsOf = (document: OpenAPIObject): Operation[] =>
  Object.entries(document.paths)
    .filter(([path]) => path.startsWith('/_matrix/client/v3/room_keys/'))
    .flatMap(([, operations]) => Object.values(operations as Record<string, Operation>));

describe('the OpenAPI document of a host', () => {
  it('says of each operation since which version of Matrix it is there', async () => {
    const operations = operationsOf((await start()).document);
    expect(operations).toHaveLength(14);
    for (const operation of operations) expect(operation['x-addedInMatrixVersion']).toBe('1.1');
  });

  it('refers to the security scheme that the host names', async () => {
    const host = await start({ securityScheme: 'bearer' });
    for (const { security } of operationsOf(host.document))
      expect(security).toEqual([{ bearer: [] }]);
    expect(host.document.components?.securitySchemes).toHaveProperty('bearer');
    expect(host.log.join()).not.toMatch('security scheme');
  });

  it('refers to another one in each application of a process', async () => {
    const one = await start({ securityScheme: 'one' });
    const other = await start({ securityScheme: 'other' });
    const again = SwaggerModule.createDocument(one.app, new DocumentBuilder().build());
    expect(operationsOf(again)[0]?.security).toEqual([{ one: [] }]);
    expect(operationsOf(other.document)[0]?.security).toEqual([{ other: [] }]);
  });

  it('has one warning, with what to write, where the host names none', async () => {
    const host = await start({ securityScheme: undefined });
    SwaggerModule.createDocument(host.app, new DocumentBuilder().build());
    const warnings = host.log.filter((line) => line.includes('security scheme'));
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain(
      ".addSecurity('accessToken', { type: 'http', scheme: 'bearer' })",
    );
    expect(operationsOf(host.document)[0]?.security).toEqual([{ accessToken: [] }]);
  });
});
