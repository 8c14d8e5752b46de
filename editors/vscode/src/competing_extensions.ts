/** Other extensions with inline completions, by lower-case id. */
const KNOWN = new Map(
  Object.entries({
    "amazonwebservices.amazon-q-vscode": "Amazon Q",
    "codeium.codeium": "Windsurf",
    "continue.continue": "Continue",
    "ggml-org.llama-vscode": "llama.vscode",
    "github.copilot": "GitHub Copilot",
    "github.copilot-chat": "GitHub Copilot",
    "google.geminicodeassist": "Gemini Code Assist",
    "rjmacarthy.twinny": "twinny",
    "sourcegraph.cody-ai": "Cody",
    "supermaven.supermaven": "Supermaven",
    "tabbyml.vscode-tabby": "Tabby",
    "tabnine.tabnine-vscode": "Tabnine",
  }),
);

export interface Extension {
  readonly id: string;
  readonly isActive: boolean;
}

/** Names of the competing extensions that are active. */
export function activeCompetitors(extensions: readonly Extension[]): string[] {
  const found = extensions
    .filter((extension) => extension.isActive)
    .map((extension) => KNOWN.get(extension.id.toLowerCase()));
  // a product may consist of two extensions
  return [...new Set(found.filter((name) => name !== undefined))].sort();
}

/** Explains that they can hide Warmline's completions, and vice versa. */
export function competitorWarning(names: readonly string[]): string {
  const last = names[names.length - 1] ?? "";
  const list = names.length > 1 ? `${names.slice(0, -1).join(", ")} and ${last}` : last;
  const verb = names.length > 1 ? "offer" : "offers";
  return `${list} ${verb} inline completions too. The editor shows only one at a time, so they can hide each other.`;
}
