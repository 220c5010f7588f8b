/** Where Swagger UI is served; its JSON is beside it, at `/docs-json`. */
export const DOCS_PATH = 'docs';
