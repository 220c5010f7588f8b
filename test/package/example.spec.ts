/** Proves that the example homeserver, with the package as it comes from the registry, passes its own tests. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Host, pack, registryAnswers } from './host.js';

((await registryAnswers()) ? it : it.skip)('the example passes its own tests', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'room-keys-package-'));
  const { file } = await pack(folder);
  const example = await Host.copy(file, 'examples/homeserver');
  try {
    const said = await example.script('test');
    expect(said).toMatch(/^(?:# |ℹ )pass [1-9]/m);
    expect(said).toMatch(/^(?:# |ℹ )fail 0$/m);
  } finally {
    await example.remove();
    await rm(folder, { recursive: true });
  }
});
