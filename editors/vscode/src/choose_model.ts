import * as vscode from "vscode";
import { detail, parseModels, percentOf, type Model } from "./models";
import { run } from "./program";

const FOLDER = "$(folder) A folder with safetensors ...";
const FETCH = "Fetch it";

/** Asks for a model, fetches it where it is not here, and sets `warmline.model`. */
export async function chooseModel(
  command: string | undefined,
  log: vscode.LogOutputChannel,
): Promise<void> {
  if (command === undefined) throw new Error("Warmline's server does not run; see its log");
  const models = await listed(command);
  const inForce = vscode.workspace.getConfiguration("warmline").get<string>("model");
  const chosen = await vscode.window.showQuickPick(
    [
      ...models.map((model) => ({
        label: model.model,
        description: [
          model.folder === null ? "to be fetched" : "here",
          ...(model.model === inForce ? ["in use"] : []),
        ].join(", "),
        detail: detail(model),
        model,
      })),
      { label: FOLDER, model: undefined },
    ],
    { title: "The model that completes" },
  );
  if (!chosen) return;
  const name = chosen.model ? await here(command, chosen.model, log) : await folder();
  if (name !== undefined) {
    await vscode.workspace.getConfiguration("warmline").update("model", name, true);
  }
}

async function listed(command: string): Promise<Model[]> {
  const signal = new AbortController().signal;
  const outcome = await run(command, ["models", "list", "--json"], { env: process.env, signal });
  const models = outcome.code === 0 ? parseModels(outcome.output) : undefined;
  if (!models) throw new Error(`Warmline told no models: ${outcome.output.slice(-500)}`);
  return models;
}

async function folder(): Promise<string | undefined> {
  const picked = await vscode.window.showOpenDialog({
    canSelectFiles: false,
    canSelectFolders: true,
    title: "A folder with config.json, tokenizer.json and safetensors",
  });
  return picked?.[0]?.fsPath;
}

/** A model's name once it is on this machine; undefined where the user does not want it. */
async function here(
  command: string,
  model: Model,
  log: vscode.LogOutputChannel,
): Promise<string | undefined> {
  if (model.folder !== null) return model.model;
  const question = { modal: true, detail: detail(model) };
  const answer = await vscode.window.showInformationMessage(
    `Fetch ${model.model} from Hugging Face?`,
    question,
    FETCH,
  );
  if (answer !== FETCH) return undefined;
  const outcome = await vscode.window.withProgress(
    {
      location: vscode.ProgressLocation.Notification,
      title: `Fetching ${model.model}`,
      cancellable: true,
    },
    (progress, token) => {
      const stop = new AbortController();
      token.onCancellationRequested(() => {
        stop.abort();
      });
      const onLine = (line: string): void => {
        const percent = percentOf(line);
        if (percent === undefined) log.info(line);
        else progress.report({ message: `${percent} % of the file` });
      };
      const options = { env: process.env, signal: stop.signal, onLine };
      return run(command, ["models", "pull", "--yes", model.model], options);
    },
  );
  if (outcome.end === "cancelled") return undefined;
  if (outcome.code !== 0) throw new Error(outcome.output.trimEnd().split("\n").at(-1));
  return model.model;
}
