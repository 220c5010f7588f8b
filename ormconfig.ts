/** The DataSource of TypeORM's command line: `DATABASE_URL=mysql://… npm run typeorm -- migration:run`. */
import { DataSource } from 'typeorm';
import { databaseSettings } from './server/src/cli/database.js';
import { dataSourceOptions } from './server/src/database.js';

export default new DataSource(dataSourceOptions(databaseSettings({})));
