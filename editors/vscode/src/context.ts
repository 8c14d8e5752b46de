/** Answer of `warmline/context`. Units: lines from 0. */
export interface Context {
  state: "off" | "looking" | "ready";
  nTokens: number;
  nFresh: number;
  items: ContextItem[];
}

export interface ContextItem {
  path: string;
  line: number;
  name: string;
  why: string;
  text: string;
  nTokens: number;
}

const STATES = {
  off: "The model sees no other files. Either this file is outside the workspace, `warmline.retrieval` is off, or the engine is remote.",
  looking: "Warmline is still searching the workspace.",
  ready: "",
};

/** The context as a Markdown page; the item nearest to the cursor first. */
export function describe(name: string, context: Context | null): string {
  const title = `# What the model sees in ${name}\n\n`;
  if (!context)
    return `${title}Nothing: Warmline does not complete this file. The status bar shows why.\n`;
  const { nTokens, nFresh, items, state } = context;
  const own = `This file: ${String(nTokens)} tokens, ${String(nFresh)} of them fresh.`;
  const none = state === "ready" && items.length === 0 ? "Nothing from other files." : "";
  const parts = [own, STATES[state], none, ...[...items].reverse().map(contextItem)];
  return title + parts.filter((part) => part !== "").join("\n\n") + "\n";
}

function contextItem({ path, line, name, why, text, nTokens }: ContextItem): string {
  const title = `## ${path}:${String(line + 1)}${name ? ` \`${name}\`` : ""}`;
  // longer than any fence in the text
  const fence = "`".repeat(
    Math.max(3, ...[...text.matchAll(/`+/g)].map(([run]) => run.length + 1)),
  );
  return `${title}\n\n${why}, ${String(nTokens)} tokens\n\n${fence}\n${text.trimEnd()}\n${fence}`;
}
