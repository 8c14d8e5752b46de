import * as vscode from "vscode";
import { detail, parseModels, percentOf, type Model } from "./models";
import { run, type Outcome } from "./program";
import { change, settingsHere } from "./settings";

const FOLDER = "$(folder) A folder with safetensors ...";
const FETCH = "Download";

/** The command `warmline` and what it is run with. */
export interface Program {
  command: string;
  env: NodeJS.ProcessEnv;
}

/** Asks for a model, fetches it where it is not here, and sets `warmline.model`. */
export async function chooseModel(program: Program, log: vscode.LogOutputChannel): Promise<void> {
  const models = await listed(program);
  if (!models) return;
  const inForce = settingsHere().get<string>("model");
  const chosen = await vscode.window.showQuickPick(
    [
      ...models.map((model) => ({
        label: model.model,
        description: [
          model.folder === null ? "not downloaded" : "downloaded",
          ...(model.model === inForce ? ["in use"] : []),
        ].join(", "),
        detail: detail(model),
        model,
      })),
      { label: FOLDER, model: undefined },
    ],
    { title: "Choose the model for completions" },
  );
  if (!chosen) return;
  const name = chosen.model ? await here(program, chosen.model, log) : await folder();
  if (name !== undefined) await change("model", name);
}

/** The models that there are; undefined where the user does not wait for them. */
async function listed(program: Program): Promise<Model[] | undefined> {
  // Python takes a while to start
  const outcome = await watched("Warmline: listing the models", (signal) =>
    run(program.command, ["models", "list", "--json"], { env: program.env, signal }),
  );
  if (outcome.end === "cancelled") return undefined;
  const models = outcome.code === 0 ? parseModels(outcome.output) : undefined;
  if (!models)
    throw new Error(`Warmline returned no list of models: ${outcome.output.slice(-500)}`);
  return models;
}

async function folder(): Promise<string | undefined> {
  const picked = await vscode.window.showOpenDialog({
    canSelectFiles: false,
    canSelectFolders: true,
    title: "Choose a folder with config.json, tokenizer.json and safetensors files",
  });
  return picked?.[0]?.fsPath;
}

/** A model's name once it is on this machine; undefined where the user does not want it. */
async function here(
  { command, env }: Program,
  model: Model,
  log: vscode.LogOutputChannel,
): Promise<string | undefined> {
  if (model.folder !== null) return model.model;
  const question = { modal: true, detail: detail(model) };
  const answer = await vscode.window.showInformationMessage(
    `Download ${model.model} from Hugging Face?`,
    question,
    FETCH,
  );
  if (answer !== FETCH) return undefined;
  const outcome = await watched(`Downloading ${model.model}`, (signal, tell) => {
    const onLine = (line: string): void => {
      const percent = percentOf(line);
      if (percent === undefined) log.info(line);
      else tell(`${percent} % of the file`);
    };
    return run(command, ["models", "pull", "--yes", model.model], { env, signal, onLine });
  });
  if (outcome.end === "cancelled") return undefined;
  if (outcome.code !== 0) throw new Error(outcome.output.trimEnd().split("\n").at(-1));
  return model.model;
}

/** Shows that a program runs, and ends it where the user cancels. */
async function watched(
  title: string,
  work: (signal: AbortSignal, tell: (message: string) => void) => Promise<Outcome>,
): Promise<Outcome> {
  const location = vscode.ProgressLocation.Notification;
  return vscode.window.withProgress({ location, title, cancellable: true }, (progress, token) => {
    const stop = new AbortController();
    token.onCancellationRequested(() => {
      stop.abort();
    });
    return work(stop.signal, (message) => {
      progress.report({ message });
    });
  });
}
