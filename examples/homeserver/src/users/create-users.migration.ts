import { type MigrationInterface, type QueryRunner, Table, type TableColumnOptions } from 'typeorm';

/** Our own tables, on each of the databases. */
export class CreateUsers1700000000000 implements MigrationInterface {
  async up(queryRunner: QueryRunner): Promise<void> {
    // device ids are case-sensitive: SQLite and PostgreSQL compare bytes, MySQL needs a collation for that
    const { type } = queryRunner.dataSource.options;
    const exact = type === 'mysql' || type === 'mariadb' ? { collation: 'utf8mb4_bin' } : {};
    const text = (name: string, more: Partial<TableColumnOptions> = {}): TableColumnOptions => ({
      name,
      type: 'varchar',
      length: '255',
      ...exact,
      ...more,
    });
    await queryRunner.createTable(
      new Table({
        name: 'users',
        columns: [
          text('user_id', { isPrimary: true }),
          text('password_hash', { isNullable: true }),
          { name: 'is_guest', type: 'boolean' },
          { name: 'is_deactivated', type: 'boolean' },
        ],
      }),
    );
    await queryRunner.createTable(
      new Table({
        name: 'sessions',
        columns: [
          { name: 'token_hash', type: 'varchar', length: '64', isPrimary: true },
          text('user_id'),
          text('device_id'),
          text('display_name', { isNullable: true }),
        ],
        indices: [{ name: 'sessions_user', columnNames: ['user_id'] }],
      }),
    );
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.dropTable('sessions');
    await queryRunner.dropTable('users');
  }
}
