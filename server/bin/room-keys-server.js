#!/usr/bin/env node
import { run } from '../dist/cli/program.js';

// `… | head` closes the pipe when it has seen enough: nothing is wrong then
process.stdout.on('error', (error) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit();
});

const code = await run(process.argv.slice(2));
// the server goes on after its command has returned
if (code !== undefined) process.exitCode = code;
