import { type DynamicModule, Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { AdminModule } from './admin/admin.module.js';
import { dataSourceOptions } from './database.js';
import type { Environment } from './environment.js';
import { MatrixModule } from './matrix/matrix.module.js';
import { SettingsModule } from './settings.module.js';

@Module({})
export class AppModule {
  static with(environment: Environment): DynamicModule {
    return {
      module: AppModule,
      imports: [
        SettingsModule.with(environment),
        TypeOrmModule.forRoot(dataSourceOptions(environment.databaseUrl)),
        MatrixModule,
        AdminModule,
      ],
    };
  }
}
