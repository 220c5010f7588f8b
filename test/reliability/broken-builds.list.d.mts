/** One break of the code, and the suite that has to notice it. */
export interface Break {
  name: string;
  file: string;
  code: string;
}
export const breaks: readonly Break[];
