import ts from 'typescript';

/** What an editor shows for the exported names of a package: their documentation, and that of members. */
export function documentation(declarations: string): Map<string, Documented> {
  const program = ts.createProgram([declarations], {
    target: ts.ScriptTarget.ES2023,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    strict: true,
  });
  const checker = program.getTypeChecker();
  const file = checker.getSymbolAtLocation(program.getSourceFile(declarations)!)!;
  const textOf = (symbol: ts.Symbol) =>
    ts.displayPartsToString(symbol.getDocumentationComment(checker));
  return new Map(
    checker.getExportsOfModule(file).map((exported) => {
      const symbol =
        exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported;
      const members =
        symbol.flags & ts.SymbolFlags.Interface
          ? checker.getDeclaredTypeOfSymbol(symbol).getProperties()
          : [];
      return [
        exported.name,
        {
          text: textOf(symbol),
          members: new Map(members.map((member) => [member.name, textOf(member)])),
        },
      ];
    }),
  );
}

export interface Documented {
  text: string;
  /** Of an interface, by their names. */
  members: Map<string, string>;
}
