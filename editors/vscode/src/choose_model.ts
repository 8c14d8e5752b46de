import * as vscode from "vscode";
import { availability, detail, parseModels, percentOf, type Model } from "./models";
import { run, type Outcome } from "./program";
import { updateSetting, currentSettings } from "./settings";

const FOLDER = "$(folder) A folder with safetensors ...";
const DOWNLOAD = "Download";

/** The `warmline` command and its environment variables. */
export interface Program {
  command: string;
  env: NodeJS.ProcessEnv;
}

/** Lets the user choose a model, downloads it if necessary, and sets `warmline.model`. */
export async function chooseModel(program: Program, log: vscode.LogOutputChannel): Promise<void> {
  const models = await listModels(program);
  if (!models) return;
  const current = currentSettings().get<string>("model");
  const chosen = await vscode.window.showQuickPick(
    [
      ...models.map((model) => ({
        label: model.model,
        description: availability(model) + (model.model === current ? ", in use" : ""),
        detail: detail(model),
        model,
      })),
      { label: FOLDER, model: undefined },
    ],
    { title: "Choose the model for completions" },
  );
  if (!chosen) return;
  const name = chosen.model ? await downloaded(program, chosen.model, log) : await chooseFolder();
  if (name !== undefined) await updateSetting("model", name);
}

/** The available models; undefined if the user cancels. */
async function listModels(program: Program): Promise<Model[] | undefined> {
  // Python starts slowly, so show progress
  const outcome = await withProgress("Warmline: listing the models", (signal) =>
    run(program.command, ["models", "list", "--json"], { env: program.env, signal }),
  );
  if (outcome.end === "cancelled") return undefined;
  const models = outcome.code === 0 ? parseModels(outcome.output) : undefined;
  if (!models)
    throw new Error(`Warmline returned no list of models: ${outcome.output.slice(-500)}`);
  return models;
}

async function chooseFolder(): Promise<string | undefined> {
  const picked = await vscode.window.showOpenDialog({
    canSelectFiles: false,
    canSelectFolders: true,
    title: "Choose a folder with config.json, tokenizer.json and safetensors files",
  });
  return picked?.[0]?.fsPath;
}

/** The model's name once it is on this machine; undefined if the user declines or cancels. */
async function downloaded(
  { command, env }: Program,
  model: Model,
  log: vscode.LogOutputChannel,
): Promise<string | undefined> {
  if (model.folder !== null) return model.model;
  const options = { modal: true, detail: detail(model) };
  const answer = await vscode.window.showInformationMessage(
    `Download ${model.model} from Hugging Face?`,
    options,
    DOWNLOAD,
  );
  if (answer !== DOWNLOAD) return undefined;
  const outcome = await withProgress(`Downloading ${model.model}`, (signal, report) => {
    const onLine = (line: string): void => {
      const percent = percentOf(line);
      if (percent === undefined) log.info(line);
      else report(`${percent} % of the file`);
    };
    return run(command, ["models", "pull", "--yes", model.model], { env, signal, onLine });
  });
  if (outcome.end === "cancelled") return undefined;
  if (outcome.code !== 0) {
    const lastLine = outcome.output.trimEnd().split("\n").at(-1) ?? "";
    // the notification names its source
    throw new Error(lastLine.replace(/^warmline: /, ""));
  }
  return model.model;
}

/** Shows progress while a program runs, and stops the program if the user cancels. */
async function withProgress(
  title: string,
  work: (signal: AbortSignal, report: (message: string) => void) => Promise<Outcome>,
): Promise<Outcome> {
  const location = vscode.ProgressLocation.Notification;
  return vscode.window.withProgress({ location, title, cancellable: true }, (progress, token) => {
    const abort = new AbortController();
    token.onCancellationRequested(() => {
      abort.abort();
    });
    return work(abort.signal, (message) => {
      progress.report({ message });
    });
  });
}
