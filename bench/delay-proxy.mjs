// A network between a database and its clients, as a process of its own: each piece that a client sends is passed on
// later. Arguments: host, port, milliseconds. Prints its own port.
import { connect, createServer } from 'node:net';
import { setTimeout } from 'node:timers';

const [host, port, ms] = process.argv.slice(2);

const server = createServer((client) => {
  const database = connect({ host, port: Number(port), noDelay: true });
  client.setNoDelay(true);
  client.on('data', (piece) => setTimeout(() => database.write(piece), Number(ms)));
  database.on('data', (piece) => client.write(piece));
  const close = () => {
    client.destroy();
    database.destroy();
  };
  for (const socket of [client, database]) socket.on('close', close).on('error', close);
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
