/** Proves in several waves what flood.spec.ts proves in one, and tells what they came to. */
import { describeFloods } from './flood.suite.js';

describeFloods({ waves: 5, report: (text) => process.stdout.write(`flood, ${text}\n`) });
