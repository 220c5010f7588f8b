/** The rows of a page, read value by value: whole numbers, and bytes that are copied where they are sent. */
export interface RawRows {
  readonly length: number;
  /** @param column from 0 on, of the whole numbers */
  integer(row: number, column: number): number;
  /** @param column from 0 on, of the others */
  text(row: number, column: number): string;
  byteLength(row: number, column: number): number;
  /** @returns how many bytes were copied */
  copy(row: number, column: number, target: Buffer, at: number): number;
  /** Adds all rows of others of the same kind. */
  append(others: RawRows): void;
}

/**
 * The values that a driver returns, as they are. mysql2 takes half as long again to hand over bytes, and as long to have them
 * put together here.
 */
export class ValueRows implements RawRows {
  /** @param rows whole numbers first, then text or bytes */
  constructor(
    private readonly rows: (number | string | Buffer)[][],
    private readonly shape: RowShape,
  ) {}

  get length(): number {
    return this.rows.length;
  }

  integer(row: number, column: number): number {
    return Number(this.rows[row]?.[column]);
  }

  text(row: number, column: number): string {
    return this.value(row, column).toString();
  }

  byteLength(row: number, column: number): number {
    return Buffer.byteLength(this.value(row, column));
  }

  copy(row: number, column: number, target: Buffer, at: number): number {
    const value = this.value(row, column);
    return typeof value === 'string' ? target.write(value, at) : value.copy(target, at);
  }

  append(others: ValueRows): void {
    this.rows.push(...others.rows);
  }

  private value(row: number, column: number): string | Buffer {
    return this.rows[row]?.[this.shape.integers + column] as string | Buffer;
  }
}

/**
 * Rows as bytes in one piece of memory. Thousands of objects that live as long as their page does would be taken
 * for old by V8, and collecting those took a third of a restore.
 */
export class ByteRows implements RawRows {
  private memory = Buffer.allocUnsafe(FIRST_BYTES);
  private used = 0;
  /** Row after row: the whole numbers, then where each of the other values ends in the memory. */
  private readonly cells: number[] = [];

  constructor(private readonly shape: RowShape) {}

  /** How many rows there are. */
  get length(): number {
    return this.cells.length / this.width;
  }

  addInteger(value: number): void {
    this.cells.push(value);
  }

  /** @param value bytes, which are copied, or text */
  addBytes(value: Buffer | string): void {
    const length = typeof value === 'string' ? Buffer.byteLength(value) : value.length;
    this.makeRoom(length);
    if (typeof value === 'string') this.memory.write(value, this.used);
    else value.copy(this.memory, this.used);
    this.used += length;
    this.cells.push(this.used);
  }

  /** Whether the value that is added next is a whole number. */
  get expectsInteger(): boolean {
    return this.cells.length % this.width < this.shape.integers;
  }

  append(others: ByteRows): void {
    this.makeRoom(others.used);
    others.memory.copy(this.memory, this.used, 0, others.used);
    others.cells.forEach((cell, n) => {
      this.cells.push(n % this.width < this.shape.integers ? cell : cell + this.used);
    });
    this.used += others.used;
  }

  integer(row: number, column: number): number {
    return this.cells[row * this.width + column] ?? NaN;
  }

  text(row: number, column: number): string {
    return this.memory.toString('utf8', this.start(row, column), this.end(row, column));
  }

  byteLength(row: number, column: number): number {
    return this.end(row, column) - this.start(row, column);
  }

  copy(row: number, column: number, target: Buffer, at: number): number {
    return this.memory.copy(target, at, this.start(row, column), this.end(row, column));
  }

  private get width(): number {
    return this.shape.integers + this.shape.others;
  }

  private end(row: number, column: number): number {
    return this.cells[row * this.width + this.shape.integers + column] ?? NaN;
  }

  /** Where the value before it ends. */
  private start(row: number, column: number): number {
    if (column > 0) return this.end(row, column - 1);
    return row > 0 ? this.end(row - 1, this.shape.others - 1) : 0;
  }

  private makeRoom(length: number): void {
    const needed = this.used + length;
    if (needed <= this.memory.length) return;
    const larger = Buffer.allocUnsafe(Math.max(needed, 2 * this.memory.length));
    this.memory.copy(larger, 0, 0, this.used);
    this.memory = larger;
  }
}

/** How many columns of a row are whole numbers, which come first, and how many others there are. No value is NULL. */
export interface RowShape {
  integers: number;
  others: number;
}

/** A page of real keys. */
const FIRST_BYTES = 320 * 1024;
